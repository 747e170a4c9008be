"""Which step a call is: the hash of its id, and of how often the id was used before."""

from __future__ import annotations

from inngest_celery import ids
from inngest_celery.sdk.errors import StepIdCollisionError


class StepNumbers:
    """Numbers the step calls of one execution.

    Example:
        >>> numbers = StepNumbers()
        >>> numbers.key_of("x") == ids.hash_step_id("x"), numbers.key_of("x") == ids.hash_step_id("x", 1)
        (True, True)
    """

    def __init__(self) -> None:
        self._uses: dict[str, int] = {}
        self._meant: dict[str, tuple[str, int]] = {}

    def key_of(self, step_id: str) -> str:
        """Give the key of the next call with this id.

        Raises:
            StepIdCollisionError: another id has the same key: "x:1" beside a second "x".
        """
        index = self._uses.get(step_id, 0)
        self._uses[step_id] = index + 1
        key = ids.hash_step_id(step_id, index)
        meant = self._meant.setdefault(key, (step_id, index))
        if meant != (step_id, index):
            raise StepIdCollisionError(max(meant[0], step_id, key=len))
        return key
