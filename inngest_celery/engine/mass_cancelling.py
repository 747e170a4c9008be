"""Cancelling many runs: a job that goes through them slice by slice, each with what it has done in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from inngest_celery.engine import expressions
from inngest_celery.engine.cancelling import cancel_run
from inngest_celery.engine.terms import Terms
from inngest_celery.engine.viewing import Eyes
from inngest_celery.engine.waiting import as_variable
from inngest_celery.store import cancellations, events, jobs
from inngest_celery.store.cancellations import Cancellation
from inngest_celery.store.rows import Event, Job, JobKind

TASK = "inngest.cancel"
KEY = "cancel"
# So many runs are looked at in one transaction.
SLICE = 50


def job_of(cancellation: Cancellation, *, now: int, hint_ms: int, queue: str) -> Job:
    """Make the job that carries a request out."""
    return Job(
        subject_id=cancellation.id,
        key=KEY,
        kind=JobKind.CANCEL,
        name="",
        function_id=cancellation.function_id,
        task_name=TASK,
        queue=queue,
        created_at=now,
        due_at=now,
        sweep_at=now + hint_ms,
        hints=1,
    )


def carry_on(connection: sa.Connection, terms: Terms, job: Job, now: int, eyes: Eyes) -> tuple[list[Job], bool]:
    """Look at the next slice of runs.

    Args:
        connection: in a transaction: what is cancelled, and that it was, are committed together.
        job: leased to this worker.
        now: milliseconds.
        eyes: whose they are that asked for it; the expression sees events as they do.

    Returns:
        The jobs that are due now, and whether there is more to do under the same job.
    """
    cancellation = cancellations.lock(connection, job.subject_id)
    if cancellation is None:
        jobs.end(connection, job)
        return [], False
    runs = cancellations.next_runs(connection, cancellation, SLICE)
    applies = _condition(cancellation)
    started_by = {event.id: event for event in events.several(connection, [run.event_id for run in runs])}
    due: list[Job] = []
    cancelled = 0
    for run in runs:
        event = started_by.get(run.event_id)
        if event is not None and not applies(eyes.event(event)):
            continue
        reason = f"cancelled by request {cancellation.id}"
        told = cancel_run(connection, run.id, reason, now=now, hint_ms=terms.hint_ms, route_queue=terms.route_queue)
        cancelled += told is not None
        due += told or []
    more = len(runs) == SLICE
    position = runs[-1].id if runs else cancellation.position
    done = replace(cancellation, position=position, cancelled=cancellation.cancelled + cancelled)
    cancellations.save(connection, done if more else replace(done, ended_at=now))
    if not more and not jobs.end(connection, job):
        raise LeaseLost
    return due, more


class LeaseLost(Exception):
    """Another worker carries the request out by now: this one's slice is not to count."""


def _condition(cancellation: Cancellation) -> Callable[[Event], bool]:
    if cancellation.expression is None:
        return lambda _: True
    compiled = expressions.compile(cancellation.expression)

    def applies(event: Event) -> bool:
        try:
            return bool(compiled.matches({"event": as_variable(event)}))
        except expressions.EvaluationError:
            return False

    return applies
