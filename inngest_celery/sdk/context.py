"""What a function's handler is given."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from inngest_celery.sdk.event import Event
from inngest_celery.sdk.types import Logger

if TYPE_CHECKING:
    from inngest_celery.sdk.group import Group, GroupSync
    from inngest_celery.sdk.step import Step, StepSync


@dataclass
class Context:
    """What an async function is given.

    Attributes:
        attempt: which attempt this is, from 0. It counts the attempts of what is done now: a step, or the code between.
        event: the event that started the run; of a batch, the first.
        events: all of them.
        group: runs steps in parallel.
        job_id: the job that executes this.
        logger: the client's logger; silent while steps that are done already are passed again.
        request_id: the request that brought the job, if a server did.
        run_id: the run, a ULID.
        step: the steps.
        max_attempts: how many attempts there are in all.

    Mirrors https://www.inngest.com/docs/reference/python/functions/create
    """

    attempt: int
    event: Event
    events: list[Event]
    group: Group
    job_id: str | None
    logger: Logger
    request_id: str | None
    run_id: str
    step: Step
    max_attempts: int | None = None


@dataclass
class ContextSync:
    """What a function that is not async is given; see :class:`Context`."""

    attempt: int
    event: Event
    events: list[Event]
    group: GroupSync
    job_id: str | None
    logger: Logger
    request_id: str | None
    run_id: str
    step: StepSync
    max_attempts: int | None = None


current_step: ContextVar[Step | StepSync] = ContextVar("current_step")
"""The steps of the run that the current code belongs to; unset outside of one."""

_MUTED = frozenset(
    {"critical", "debug", "error", "exception", "fatal", "info", "log", "warn", "warning"},
)


class FilteredLogger:
    """A logger that is silent until ``live`` is set, so that a replay does not log again what was logged before.

    It stands before any logger, structlog's too, and adds no frame of its own to the caller's.

    Example:
        >>> logger = FilteredLogger(__import__("logging").getLogger("app"))
        >>> logger.warning("not shown")
        >>> logger.live = True
    """

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self.live = False

    def __getattr__(self, name: str) -> Any:
        if name in _MUTED and not self.live:
            return _say_nothing
        return getattr(self._logger, name)

    def as_logger(self) -> Logger:
        """Give this very object under the type that a context's ``logger`` has."""
        return cast(Logger, self)


def _say_nothing(*args: object, **kwargs: object) -> None:
    pass
