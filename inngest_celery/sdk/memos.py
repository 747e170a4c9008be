"""The memoised results of a run's steps, as middleware sees them before the function runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from inngest_celery.sdk.errors import Error, ErrorCode, StepError
from inngest_celery.sdk.stack import user_stack
from inngest_celery.sdk.types import EmptySentinel, empty_sentinel


@dataclass(slots=True)
class MemoizedError:
    """The error that a step ended with."""

    message: str
    name: str
    stack: str | None = None
    code: str = ErrorCode.STEP_ERRORED

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Give what is stored of an exception."""
        if isinstance(error, Error):
            return cls(error.message, error.name, error.stack if error.include_stack else None)
        return cls(str(error), type(error).__name__, user_stack(error))

    def to_step_error(self) -> StepError:
        """Give the exception that the step's call raises."""
        error = StepError(self.message, self.name, self.stack)
        error.code = self.code
        return error


@dataclass(slots=True)
class Output:
    """What a step ended with. Middleware may change ``data``, for example to decrypt it."""

    data: object = None
    error: MemoizedError | None = None


class StepMemos:
    """The memoised steps that the function has not reached yet, by the hash of their ids.

    Example:
        >>> memos = StepMemos.from_raw({"a1": {"data": 7}, "b2": {"error": {"name": "ValueError", "message": "no"}}})
        >>> memos.size, memos.pop("a1"), memos.size
        (2, Output(data=7, error=None), 1)
    """

    def __init__(self, memos: dict[str, Output]) -> None:
        self._memos = memos

    @property
    def size(self) -> int:
        return len(self._memos)

    def values(self) -> Iterator[Output]:
        yield from self._memos.values()

    def pop(self, hashed_id: str) -> Output | EmptySentinel:
        """Take out a step's memo; gives an ``EmptySentinel`` if there is none."""
        return self._memos.pop(hashed_id, empty_sentinel)

    @classmethod
    def from_raw(cls, raw: Mapping[str, object]) -> Self:
        """Read memos as they are stored: ``{"data": …}``, ``{"error": …}``, null, or an event as it is."""
        return cls({hashed_id: _read(memo) for hashed_id, memo in raw.items()})


def _read(memo: object) -> Output:
    if isinstance(memo, dict) and memo.keys() == {"data"}:
        return Output(memo["data"])
    if isinstance(memo, dict) and memo.keys() == {"error"} and isinstance(memo["error"], dict):
        error = memo["error"]
        found = MemoizedError(str(error.get("message", "")), str(error.get("name", "Error")), error.get("stack"))
        if error.get("code") == ErrorCode.STEP_TIME_LIMIT:
            # What the step itself raised has codes of its own; this one says what was done to it.
            found.code = ErrorCode.STEP_TIME_LIMIT
        return Output(error=found)
    return Output(memo)
