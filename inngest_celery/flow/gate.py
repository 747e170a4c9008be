"""The seam for flow control: between a job that is due and the worker that takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inngest_celery.store.rows import Job


class Gate(Protocol):
    """Decides which due jobs may be taken now. One that may not stays a row, and is let through later."""

    def admit(self, jobs: Sequence[Job]) -> list[Job]:
        """Of these jobs, give those that may have a hint now."""
        ...

    def may_keep(self, function_id: str) -> bool:
        """Tell whether a worker may take a run's next step itself, without asking again."""
        ...


class OpenGate:
    """Lets everything through: there are no policies.

    Example:
        >>> OpenGate().may_keep("shop-onboard")
        True
    """

    def admit(self, jobs: Sequence[Job]) -> list[Job]:
        return list(jobs)

    def may_keep(self, function_id: str) -> bool:
        return True
