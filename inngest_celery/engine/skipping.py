"""Runs that are not to be: recorded with the reason, so that a user can see why nothing ran; callers get an error."""

from __future__ import annotations

import json
from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.engine import invoking, keys
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.lifecycle import delivery
from inngest_celery.engine.terms import Terms
from inngest_celery.store import jobs, runs, waits
from inngest_celery.store.changes import Applied
from inngest_celery.store.functions import DRAIN, SKIP, FunctionRow
from inngest_celery.store.rows import Job, Run, RunStatus


@dataclass(frozen=True, slots=True)
class Why:
    """Why a run is skipped.

    Attributes:
        code: for programs; stable.
        reason: what stands with the run.
        message: what its caller is told.
    """

    code: str
    reason: str
    message: str


PAUSED = Why("function_paused", "FunctionPaused", "the function is paused")
DRAINED = Why("function_drained", "FunctionDrained", "the function is being drained: it starts no new runs")
RATE_LIMITED = Why("rate_limited", "RateLimited", "invoked function is rate limited")


def singleton(run_id: str) -> Why:
    return Why("singleton", f"Singleton: run {run_id} has not ended", f"the function's run {run_id} has not ended")


def duplicate(run_id: str) -> Why:
    return Why("duplicate", f"Idempotency: run {run_id} was first", f"run {run_id} was started for the same before")


def debounced(event_id: str) -> Why:
    return Why("debounced", f"Debounced: event {event_id} takes its place", "a newer call has taken the place of this")


def refusal(function: FunctionRow) -> Why | None:
    """Say why a function takes in no new events, if it does not."""
    return {SKIP: PAUSED, DRAIN: DRAINED}.get(function.paused or "")


def skip(
    connection: sa.Connection,
    terms: Terms,
    function: FunctionRow,
    arrival: Arrival,
    now: int,
    why: Why,
    *,
    run_id: str | None = None,
    batch: int | None = None,
    repeats: str | None = None,
) -> Applied:
    """Record a run that is skipped, and tell whoever called it.

    Nothing is recorded of an event id that has had its run: that is the same event once more. One that is skipped may
    be sent again and run then, but a call that has had its answer is over.

    Args:
        connection: in a transaction.
        now: milliseconds.
        run_id: the id that the run was to have, if it had one already.
        batch: how many events were to start it, if they were collected.
        repeats: the run that it was to repeat: who asked for that is told its id, and finds it.

    Returns:
        The jobs that follow.
    """
    event = arrival.event
    run = Run(
        id=(None if repeats else invoking.run_id_of(arrival)) or run_id or ids.new(now),
        function_id=function.id,
        event_id=event.id,
        idempotency_key=keys.event_key(function.id, event) if batch is None and repeats is None else None,
        status=RunStatus.SKIPPED.value,
        reason=why.reason,
        created_at=now,
        ended_at=now,
        batch=batch,
        original_run_id=repeats,
    )
    if repeats is None:
        invoking.note_caller(run, arrival)
    called = run.parent_run_id or run.celery
    if called:
        run.output = json.dumps({"name": "RunSkippedError", "message": why.message, "stack": None, "code": why.code})
    else:
        if runs.holder(connection, run) is not None:
            return Applied()
        run.idempotency_key = None
    if runs.claim(connection, run) is not None:
        return Applied()
    return Applied(jobs=_answer(connection, terms, run, now) if called else [])


def _answer(connection: sa.Connection, terms: Terms, run: Run, now: int) -> list[Job]:
    """Hand the error to the step or the Celery code that waits for the run."""
    due = []
    told = delivery(run, now, terms.hint_ms, terms.route_queue)
    if told is not None:
        jobs.insert(connection, [told])
        due.append(told)
    if run.parent_run_id and run.parent_step_id:
        memo, sweep_at = f'{{"error":{run.output}}}', now + terms.hint_ms
        resumed = waits.resume(connection, run.parent_run_id, run.parent_step_id, memo, now=now, sweep_at=sweep_at)
        due += [resumed] if resumed else []
    return due
