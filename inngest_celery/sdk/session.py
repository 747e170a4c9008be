"""The seam between what user code calls (``ctx.step``, ``ctx.group``) and the driver that carries it out.

``Step`` and ``StepSync`` turn a call into a :class:`StepCall` and hand it to the session of their run. The session
answers with the memoised result, or suspends the function until there is one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from inngest_celery.opcodes import Opcode
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.time_limits import UNLIMITED, TimeLimits

if TYPE_CHECKING:
    from celery import Celery

    from inngest_celery.sdk.middleware import MiddlewareChain


class OpenTransaction(Protocol):
    """A transaction in which a body runs, and in which the outcome is then recorded.

    Attributes:
        connection: the SQLAlchemy connection that records the outcome.
    """

    @property
    def connection(self) -> Any: ...

    def call(self, handler: Callable[..., object], args: Sequence[object]) -> object:
        """Call the body with what it gets of the transaction, and send what it has left to be written."""
        ...

    def commit(self) -> None:
        """Commit. Whatever is raised says that nothing was committed, but ``CommitUnanswered``: nobody knows."""
        ...


class Opener(Protocol):
    """Opens transactions on somebody else's connection to the database; left without commit they are rolled back."""

    def open(self, app: Celery) -> AbstractContextManager[OpenTransaction]:
        """Open one in a worker of this app."""
        ...

    def rehearse(self) -> AbstractContextManager[object]:
        """Open one for a run in memory, committed at the end of the block unless that raises."""
        ...


@dataclass(slots=True)
class InTransaction:
    """What makes a step's body part of the transaction that records its outcome.

    Attributes:
        handler: the body; what it gets first is the transaction's to say.
        args: its other arguments.
        opener: opens the transaction; ``None`` for one on the database's own connection, with a SQLAlchemy session.
        current: the open transaction, which the driver sets before it runs the body.
    """

    handler: Callable[..., object]
    args: Sequence[object]
    opener: Opener | None = None
    current: OpenTransaction | None = None

    def call(self) -> object:
        """Run the body in the open transaction."""
        assert self.current is not None, "the driver must open a transaction before it runs the body"
        return self.current.call(self.handler, self.args)


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
        args: what the user's handler is called with.
        transaction: for a body that runs in the transaction that records its outcome.
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
    args: Sequence[object] = ()
    transaction: InTransaction | None = None
    limits: TimeLimits = UNLIMITED
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
