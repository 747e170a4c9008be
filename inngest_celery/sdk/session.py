"""The seam between what user code calls (``ctx.step``, ``ctx.group``) and the driver that carries it out.

``Step`` and ``StepSync`` turn a call into a :class:`StepCall` and hand it to the session of their run. The session
answers with the memoised result, or suspends the function until there is one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from inngest_celery.opcodes import Opcode
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.time_limits import TimeLimits

if TYPE_CHECKING:
    from inngest_celery.sdk.middleware import MiddlewareChain


@dataclass(slots=True)
class StepCall:
    """One call of a step method, before it is known whether its result is memoised.

    Attributes:
        op: what kind of step it is.
        step_id: the id as the user wrote it.
        opts: the options as they stand on the wire (``protocol`` names: ``event``, ``if``, ``timeout``, ...). Two are
            for the driver, whose clock it is, to turn into an instant: ``duration`` of a sleep (such as ``1500ms``) and
            ``until`` of a sleep to an instant (milliseconds since 1970).
        name: the ``name`` field on the wire: the event of a wait, the instant of a sleep, else the step id.
        body: for ``STEP_RUN``, runs the user's handler once and returns its result (after the serializer, before the
            middleware's ``transform_output`` and ``jsonable.encode_output``), or an awaitable of it.
        emits: events, with their ids, that the body wants stored in the same transaction as its result
            (``step.send_event``); an event's ``ts`` of 0 stands for now.
        cost: what the step costs, or what tells it from what the body gave.
        limits: how long the body may take.
        hashed_id: the hash of the id, which the session sets when it numbers the call, before it runs the body.
    """

    op: Opcode
    step_id: str
    opts: dict[str, object] | None = None
    name: str = ""
    body: Callable[[], object] | None = None
    emits: list[tuple[str, Event]] = field(default_factory=list)
    cost: float | Callable[[object], object] | None = None
    limits: TimeLimits = field(default_factory=TimeLimits)
    hashed_id: str = ""


class Session(Protocol):
    """One live execution of a run's function, as ``Step`` and ``Group`` see it."""

    run_id: str
    middleware: MiddlewareChain

    async def reach(self, call: StepCall) -> object:
        """Give the step's memoised data, or suspend the calling coroutine until it exists; raises ``StepError``."""
        ...

    def reach_sync(self, call: StepCall) -> object:
        """As :meth:`reach`, for a function that is not a coroutine."""
        ...

    async def parallel(self, callables: Sequence[Callable[[], Awaitable[object]]], *, race: bool) -> tuple[object, ...]:
        """Run the branches side by side; the results come in the order of the branches."""
        ...

    def parallel_sync(self, callables: Sequence[Callable[[], object]], *, race: bool) -> tuple[object, ...]:
        """As :meth:`parallel`, for a function that is not a coroutine."""
        ...
