"""A run's trace: a tree of what happened, and of what it waits for, out of what is stored of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from inngest_celery import ids
from inngest_celery.engine.lifecycle import INVOKED
from inngest_celery.opcodes import Opcode
from inngest_celery.store.details import Details
from inngest_celery.store.rows import Attempt, Job, JobKind, Run, RunStatus, Step, Wait

Status = Literal["QUEUED", "RUNNING", "WAITING", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED"]

_OPEN = (JobKind.STEP, JobKind.SLEEP, JobKind.TIMEOUT, JobKind.CELERY)


@dataclass(slots=True)
class Span:
    """One bar of a trace: the run, a step, or an attempt at one. Times are milliseconds.

    Attributes:
        id: always the same one for the same thing.
        kind: the step's op; empty for the run and for attempts.
        step_id: the hash of the step's id.
        attempt: how often it was tried.
        wait: what it waits for, or waited for.
        key: names what it gave: a step's hash, or nothing for the run's output, and which attempt.
    """

    id: str
    name: str
    status: Status
    queued_at: int
    started_at: int | None = None
    ended_at: int | None = None
    due_at: int | None = None
    kind: str = ""
    step_id: str | None = None
    attempt: int | None = None
    wait: Waiting | None = None
    key: tuple[str, str] | None = None
    children: list[Span] = field(default_factory=list)

    @property
    def duration(self) -> int | None:
        if self.ended_at is None:
            return None
        return self.ended_at - (self.queued_at if self.started_at is None else self.started_at)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a step waits for, as far as it is known.

    Attributes:
        until: when it stops waiting, or stopped.
        event_name: the event, or the signal.
        found_id: the event that came.
        timed_out: whether it waited in vain; ``None`` while it waits.
    """

    until: int
    event_name: str = ""
    expression: str | None = None
    found_id: str | None = None
    invocation_id: str | None = None
    timed_out: bool | None = None


def trace_of(run: Run, name: str, details: Details) -> Span:
    """Give the trace of a run.

    Args:
        name: the function's.
        details: of the run.
    """
    status = RunStatus(run.status)
    root = Span(
        id=_id(run.id),
        name=name,
        status="QUEUED" if status is RunStatus.SCHEDULED else status.name,  # type: ignore[arg-type]
        queued_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        key=("", "") if run.output is not None else None,
    )
    failed_calls = [attempt for attempt in details.attempts if not attempt.step_id]
    root.children = [*_done(run, details), *_open(run, details), *_attempts(run, "", failed_calls)]
    return root


def _done(run: Run, details: Details) -> Iterable[Span]:
    for step in details.steps:
        yield Span(
            id=_id(run.id, step.id),
            name=step.name,
            status="FAILED" if step.failed else "COMPLETED",
            queued_at=step.queued_at,
            started_at=step.started_at,
            ended_at=step.ended_at,
            kind=step.op,
            step_id=step.id,
            attempt=step.attempt,
            wait=_waited(step),
            key=(step.id, ""),
            children=_attempts(run, step.id, [each for each in details.attempts if each.step_id == step.id]),
        )


def _open(run: Run, details: Details) -> Iterable[Span]:
    """Give what has been planned and is not done."""
    for job in details.jobs:
        if job.kind not in _OPEN:
            continue
        kept = json.loads(job.opts or "{}")
        default = Opcode.SLEEP.value if job.kind is JobKind.SLEEP else Opcode.STEP_RUN.value
        waits, running = job.kind is not JobKind.STEP, job.leased_by is not None
        yield Span(
            id=_id(run.id, job.key),
            name=job.name,
            status="WAITING" if waits else "RUNNING" if running else "QUEUED",
            queued_at=job.created_at,
            started_at=job.created_at if waits or running else None,
            due_at=kept.get("expires_at", job.due_at),
            kind=str(kept.get("op") or default),
            step_id=job.key,
            attempt=job.attempt,
            wait=_waiting(job, details.waits.get(job.key)) if waits else None,
            children=_attempts(run, job.key, [each for each in details.attempts if each.step_id == job.key]),
        )


def _attempts(run: Run, step_id: str, failed: Iterable[Attempt]) -> list[Span]:
    return [
        Span(
            id=_id(run.id, step_id, attempt.job_key, str(attempt.fence)),
            name=f"Attempt {attempt.attempt}",
            status="FAILED",
            queued_at=attempt.started_at,
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
            step_id=step_id or None,
            attempt=attempt.attempt,
            key=(step_id, attempt_key(attempt)),
        )
        for attempt in failed
    ]


def _waiting(job: Job, wait: Wait | None) -> Waiting:
    if wait is None:
        return Waiting(job.due_at)
    is_call = wait.kind == Opcode.INVOKE.value
    invocation = invocation_of(job.subject_id, job.key) if is_call else None
    return Waiting(wait.expires_at, _shown_name(wait.kind, wait.event_name), wait.expression, invocation_id=invocation)


def _waited(step: Step) -> Waiting | None:
    if step.op != Opcode.SLEEP.value and step.op not in WAITS:
        return None
    # Rows of earlier releases do not say what it was: they stood for no more than when it was over.
    waited = json.loads(step.waited) if step.waited else {}
    until = waited.get("until", step.ended_at)
    if step.op == Opcode.SLEEP.value:
        return Waiting(until)
    memo = json.loads(step.memo)
    given = memo if isinstance(memo, dict) else {}
    if step.op == Opcode.INVOKE.value:
        in_vain = _failed_as("InngestInvokeTimeoutError", given)
        return Waiting(until, invocation_id=invocation_of(step.run_id, step.id), timed_out=in_vain)
    if step.op == Opcode.CELERY.value:
        return Waiting(until, timed_out=_failed_as("CeleryTaskTimeoutError", given))
    found_id = given.get("id") if step.op == Opcode.WAIT_FOR_EVENT.value else None
    name = _shown_name(step.op, waited.get("event", ""))
    return Waiting(until, name, waited.get("if"), found_id=found_id, timed_out=memo is None)


def _failed_as(name: str, memo: dict[str, Any]) -> bool:
    error = memo.get("error")
    return isinstance(error, dict) and error.get("name") == name


def _shown_name(op: str, event_name: str) -> str:
    """Give the name of what is waited for: a signal's topic says that it is one."""
    return event_name.partition(":")[2] if op == Opcode.WAIT_FOR_SIGNAL.value else event_name


# Steps for which no worker is busy: others have to do something.
WAITS = frozenset({Opcode.WAIT_FOR_EVENT.value, Opcode.WAIT_FOR_SIGNAL.value, Opcode.INVOKE.value, Opcode.CELERY.value})


def attempt_key(attempt: Attempt) -> str:
    """Give what tells one attempt at a step from the others."""
    return f"{attempt.job_key}.{attempt.fence}"


def trace_id(run_id: str) -> str:
    return ids.entropy_of(run_id).hex().ljust(32, "0")


def _id(*parts: str) -> str:
    return ids.entropy_of(*parts).hex()[:16]


def invocation_of(run_id: str, key: str) -> str:
    """Give the id of the event that an invoke step sends: it is made of the step."""
    return ids.derived(ids.time_of(run_id), run_id, key, INVOKED)
