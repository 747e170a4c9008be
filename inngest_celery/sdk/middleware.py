"""Middleware: hooks around executions and around sending."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from inngest_celery.opcodes import Opcode
from inngest_celery.sdk import effects
from inngest_celery.sdk.effects import Work
from inngest_celery.sdk.event import Event, SendEventsResult
from inngest_celery.sdk.memos import StepMemos
from inngest_celery.sdk.types import EmptySentinel

if TYPE_CHECKING:
    from inngest_celery.sdk.client import Inngest
    from inngest_celery.sdk.context import Context, ContextSync
    from inngest_celery.sdk.function import Function


@dataclass
class TransformOutputStepInfo:
    """Which step an output belongs to. ``id`` is the id in the user's code."""

    id: str
    op: Opcode
    opts: dict[str, object] | None


@dataclass
class TransformOutputResult:
    """What a step or a function ended with. A hook may change ``error`` and ``output``, but not ``step``.

    Attributes:
        error: the exception that was raised, if any.
        output: what was returned; an empty sentinel if nothing was, see :meth:`has_output`.
        step: the step that ended; None for the function itself.
    """

    error: Exception | None
    output: object
    step: TransformOutputStepInfo | None

    def has_output(self) -> bool:
        """Tell whether there is an output; None is one."""
        return self.output is not EmptySentinel and not isinstance(self.output, EmptySentinel)


class Middleware:
    """Hooks for async functions. Override those you need; all others do nothing.

    Give the class itself (or a factory) to ``Inngest(middleware=[...])`` or ``create_function(middleware=[...])``: each
    execution and each send makes its own instance, so state on ``self`` belongs to one of them.

    Args:
        client: the client.
        raw_request: what came in: a request of the web framework, or None in a worker.

    Example:
        >>> class Audit(Middleware):
        ...     async def before_send_events(self, events: list[Event]) -> None:
        ...         print("sending", [event.name for event in events])

    Mirrors https://www.inngest.com/docs/reference/python/middleware/overview
    """

    def __init__(self, client: Inngest, raw_request: object) -> None:
        self.client = client
        self.raw_request = raw_request

    async def after_execution(self) -> None:
        """After new code ran: a step, or the end of the function. Not after it raised."""

    async def after_send_events(self, result: SendEventsResult) -> None:
        """After events were sent, also when some were refused."""

    async def before_execution(self) -> None:
        """Before new code runs, that is once all memoised steps have been passed."""

    async def before_response(self) -> None:
        """Last of all."""

    async def before_send_events(self, events: list[Event]) -> None:
        """Before events are sent. The list and its events may be changed."""

    async def transform_input(self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos) -> None:
        """Before anything runs. The context and the memoised steps may be changed."""

    async def transform_output(self, result: TransformOutputResult) -> None:
        """After a step or the function ended, well or badly. The output and the error may be changed."""


class MiddlewareSync:
    """Hooks for all functions, async or not; see :class:`Middleware`."""

    def __init__(self, client: Inngest, raw_request: object) -> None:
        self.client = client
        self.raw_request = raw_request

    def after_execution(self) -> None:
        """After new code ran: a step, or the end of the function. Not after it raised."""

    def after_send_events(self, result: SendEventsResult) -> None:
        """After events were sent, also when some were refused."""

    def before_execution(self) -> None:
        """Before new code runs, that is once all memoised steps have been passed."""

    def before_response(self) -> None:
        """Last of all."""

    def before_send_events(self, events: list[Event]) -> None:
        """Before events are sent. The list and its events may be changed."""

    def transform_input(self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos) -> None:
        """Before anything runs. The context and the memoised steps may be changed."""

    def transform_output(self, result: TransformOutputResult) -> None:
        """After a step or the function ended, well or badly. The output and the error may be changed."""


UninitializedMiddleware: TypeAlias = "Callable[[Inngest, object], Middleware | MiddlewareSync]"
"""A middleware class, or a function that makes an instance."""

Hooks: TypeAlias = Work[None]


class MiddlewareChain:
    """The middleware of one execution, or of one send.

    Its methods say which hooks to call and in what order; :meth:`run_async` and :meth:`run_sync` call them:
    ``await chain.run_async(chain.before_execution())``. What comes before goes from the first to the last; what comes
    after goes back from the last to the first.
    """

    def __init__(self, members: Sequence[Middleware | MiddlewareSync]) -> None:
        self.members = tuple(members)

    @classmethod
    def build(cls, client: Inngest, function: Function[Any] | None = None, raw_request: object = None) -> Self:
        """Make new instances: the client's middleware first, then the function's."""
        makers = [*client.middleware, *(function.middleware if function is not None else ())]
        return cls([make(client, raw_request) for make in makers])

    run_async = staticmethod(effects.run_async)
    run_sync = staticmethod(effects.run_sync)

    def transform_input(self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos) -> Hooks:
        return _calls(self.members, "transform_input", ctx, function, steps)

    def before_execution(self) -> Hooks:
        return _calls(self.members, "before_execution")

    def after_execution(self) -> Hooks:
        return _calls(reversed(self.members), "after_execution")

    def transform_output(self, result: TransformOutputResult) -> Hooks:
        """The step's identity is not the middleware's to change, so each hook sees it afresh."""
        step = result.step
        for member in reversed(self.members):
            yield lambda member=member: member.transform_output(result)  # type: ignore[misc]
            result.step = step

    def before_response(self) -> Hooks:
        return _calls(self.members, "before_response")

    def before_send_events(self, events: list[Event]) -> Hooks:
        return _calls(self.members, "before_send_events", events)

    def after_send_events(self, result: SendEventsResult) -> Hooks:
        return _calls(reversed(self.members), "after_send_events", result)


def _calls(members: Iterable[Middleware | MiddlewareSync], hook: str, *args: object) -> Hooks:
    for member in members:
        yield _call(member, hook, args)


def _call(member: Middleware | MiddlewareSync, hook: str, args: tuple[object, ...]) -> Callable[[], object]:
    return lambda: getattr(member, hook)(*args)
