"""What is said of a run: values for programs, with words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inngest_celery.worker.runs import RunInfo


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who has a place. ``step`` is empty for the function's own code, and for a run that has it as a whole."""

    run_id: str
    step: str = ""


@dataclass(frozen=True, slots=True)
class InLine:
    """The limit that a step waits for, and its place in line. Times are milliseconds since 1970.

    Attributes:
        policy: which of the function's limits, such as ``concurrency.0``.
        key: its key expression, if it has one.
        value: what that gives for this run, as JSON text.
        limit: what holds now; ``period`` in milliseconds.
        taken: places that are taken, tokens that are gone, or what is spent.
        holders: some of those that have a place.
        jobs_before: how many jobs go before it, as far as can be told now.
        keys_before: how many other keys have their turn before its own.
        is_set: whether an operator has set the limit; ``set_until`` is when the code's holds again.
    """

    policy: str
    key: str | None
    value: str | None
    limit: Mapping[str, float]
    taken: float
    holders: list[Holder]
    jobs_before: int
    keys_before: int
    is_set: bool
    set_until: int | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that a run waits for, or how it ended.

    Attributes:
        code: stable, for programs.
        text: what it is.
        advice: what would change it.
        step: the step that waits; empty for the function's own code.
        next_at: when it goes on by itself, as far as can be told; milliseconds since 1970.
        run_id: another run that it waits for.
        queue: where its message is.
        worker: who executes it, or did.
        in_line: the limit that it waits for.
    """

    code: str
    text: str
    advice: str
    step: str = ""
    next_at: int | None = None
    run_id: str | None = None
    queue: str | None = None
    worker: str | None = None
    in_line: InLine | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a run stands where it does.

    Attributes:
        run: the run; ``None`` for an event that is still to be routed.
        at: when it was looked at, in milliseconds since 1970.
        reasons: one for each step that is not done, the most telling first.
    """

    run: RunInfo | None
    at: int
    reasons: list[Reason]
