"""Calls: what a run that a step or Celery code has called keeps of its caller, and the answer where there is no run."""

from __future__ import annotations

import json

import sqlalchemy as sa

from inngest_celery import trace_context
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.terms import Terms
from inngest_celery.store import waits
from inngest_celery.store.rows import Job, Run


def wanted(arrival: Arrival) -> str:
    """Give the id of the function that is called."""
    return str(arrival.invocation.get("fn_id", ""))


def run_id_of(arrival: Arrival) -> str | None:
    """Give the id that the run must have, where its caller has been told it."""
    chosen = arrival.invocation.get("run_id")
    return str(chosen) if chosen else None


def message_of(arrival: Arrival, run_id: str) -> str | None:
    """Give what the messages of the run are to carry: what Celery code has called it with, and its place in a trace."""
    message = (arrival.invocation.get("celery") or {}).get("message") or {}
    sent = trace_context.of_event(arrival.event.extra)
    if sent is not None:
        headers = trace_context.of_run(run_id, sent).headers
        message = {**message, "headers": {**(message.get("headers") or {}), **headers}}
    return json.dumps(message) if message else None


def note_caller(run: Run, arrival: Arrival) -> None:
    """Note who waits for a run: a step of another run, or Celery code."""
    call = arrival.invocation
    if call.get("correlation_id"):
        run.parent_run_id, _, run.parent_step_id = str(call["correlation_id"]).partition(".")
    if call.get("celery"):
        run.celery = json.dumps(call["celery"])


def refuse(connection: sa.Connection, terms: Terms, arrival: Arrival, now: int) -> list[Job]:
    """Tell the step that called it that there is no such function."""
    run_id, _, key = str(arrival.invocation.get("correlation_id", "")).partition(".")
    error = {"name": "Error", "message": f"could not find function with ID: {wanted(arrival)}", "stack": None}
    memo = f'{{"error":{json.dumps(error)}}}'
    resumed = waits.resume(connection, run_id, key, memo, now=now, sweep_at=now + terms.hint_ms)
    return [resumed] if resumed else []
