"""Timeouts of whole runs: one job for each, which cancels the run when its time is up."""

from __future__ import annotations

import json
from dataclasses import replace

import sqlalchemy as sa

from inngest_celery.engine.cancelling import cancel_run
from inngest_celery.store import jobs, runs
from inngest_celery.store.rows import Job, Run, RunStatus

_REASONS = {"deadline:start": "not started in time", "deadline:finish": "not finished in time"}


def expire(connection: sa.Connection, job: Job, *, now: int, hint_ms: int, route_queue: str) -> list[Job]:
    """Cancel a run that has not begun, or not ended, in time.

    Args:
        connection: in a transaction.
        job: the deadline, leased to this worker.
        now: milliseconds.
        hint_ms: how long a hint may stay unanswered.
        route_queue: the queue of route jobs.

    Returns:
        The jobs that are due now.
    """
    run = runs.lock(connection, job.subject_id)
    if run is None or RunStatus(run.status).ended or (job.key == "deadline:start" and run.started_at is not None):
        jobs.end(connection, job)
        return []
    later = _finish_by(job, run, now)
    if later > now:
        again = replace(job, due_at=later, sweep_at=later, hints=0, leased_by=None, leased_until=None)
        jobs.update(connection, job, again)
        return []
    due = cancel_run(connection, run.id, _REASONS[job.key], now=now, hint_ms=hint_ms, route_queue=route_queue)
    return due or []


def _finish_by(job: Job, run: Run, now: int) -> int:
    """Give when the time is really up: the time to finish counts from the start, which may have been late."""
    if job.key == "deadline:start":
        return now
    limit = int(json.loads(job.opts or "{}")["limit"])
    return (now if run.started_at is None else run.started_at) + limit
