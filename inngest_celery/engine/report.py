"""What a driver tells the engine after it has let a function run for a while. The same for every driver."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field

from inngest_celery.opcodes import Opcode
from inngest_celery.store.rows import Event, Wait


@dataclass(slots=True)
class Failure:
    """An error of a step or of the function, as it stands on the wire.

    Attributes:
        name: the exception's class, without its module.
        message: its text.
        stack: the traceback, or ``None``.
        code: a stable code.
        retriable: whether another attempt may help.
        retry_at: when the next attempt is to be, in milliseconds; ``None`` leaves it to the backoff table.
        retry_in: how long after this one it is to be, in milliseconds, if the error says it so.
        raw: the error as an SDK wrote it (a JSON object as text), which may say more than all this.
    """

    name: str
    message: str
    stack: str | None = None
    code: str = "unknown"
    retriable: bool = True
    retry_at: int | None = None
    retry_in: int | None = None
    raw: str | None = None

    def to_json(self) -> str:
        if self.raw is not None:
            return self.raw
        return json.dumps(
            {"name": self.name, "message": self.message, "stack": self.stack, "code": self.code}, ensure_ascii=False
        )

    def to_memo(self) -> str:
        """Give what the function sees of it from now on, as JSON text."""
        return f'{{"error":{self.to_json()}}}'


@dataclass(slots=True)
class Outcome:
    """One attempt at a step's body.

    Attributes:
        key: hash of the step's id.
        name: the id as the author wrote it.
        op: what kind of step it is.
        attempt: zero-based.
        memo: JSON text that the function sees from now on; ``None`` when the attempt failed and another follows.
        failure: the error, if it failed.
        error: the exception itself, where there is one in this process.
        queued_at, started_at, ended_at: milliseconds.
        task_id: the Celery task that ran it, if one did.
        emits: events to store together with the memo.
        cost: what it cost, if it succeeded and the function has a budget.
        asked: JSON text of what a model was asked, if one was; see ``engine.prompts``.
    """

    key: str
    name: str
    op: Opcode
    attempt: int
    memo: str | None
    started_at: int
    ended_at: int
    failure: Failure | None = None
    error: BaseException | None = None
    task_id: str | None = None
    emits: list[Event] = field(default_factory=list)
    cost: float | None = None
    asked: str | None = None


@dataclass(slots=True)
class Plan:
    """A step that the function has come to and that has no outcome yet.

    Attributes:
        opts: what the step asks for.
        keeps: what its job is to keep, for whoever carries it out.
    """

    key: str
    name: str
    op: Opcode
    opts: dict[str, object]
    keeps: dict[str, object] | None = None


class GoOn(enum.Enum):
    """When a function that was left is called again: it is one of those that go from call to call.

    ``AFTER_ALL``: once every step that it has planned is done. ``AFTER_EACH``: whenever there is something that it
    has not seen. ``AT_ONCE``: it asks for it.
    """

    AFTER_ALL = "after all"
    AFTER_EACH = "after each"
    AT_ONCE = "at once"


@dataclass(slots=True)
class Report:
    """How far the function has come.

    Attributes:
        outcomes: attempts at step bodies that were made.
        plans: steps that were reached and are to be carried out.
        output: JSON text of the function's result, when it has returned.
        failure: what it raised, when it has raised.
        known: how many outcomes the function has seen, the reported ones included.
        size: bytes of memoised state, the reported ones included.
        parallel: whether more than one step was open at a time, so that others may be working on the run.
        blocked: whether the function cannot go on until steps that others carry out are done.
        go_on: when the function is called again; ``None`` for one that stays alive, and goes on by itself.
        seen: how many recorded outcomes the call that is reported knew of.
        keeps: what the job of that call is to keep.
        retries_call: whether a step that failed is tried again by calling the function again.
        defers: what is put off until the run's end.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    output: str | None = None
    failure: Failure | None = None
    known: int = 0
    size: int = 0
    parallel: bool = False
    blocked: bool = False
    go_on: GoOn | None = None
    seen: int = 0
    keeps: dict[str, object] | None = None
    retries_call: bool = False
    defers: list[Wait] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.output is not None or self.failure is not None
