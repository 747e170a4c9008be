"""Who sends the first hint of a new job: whoever commits it, if it is due soon; else the sweep, when it is."""

from __future__ import annotations

from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import Job, JobKind


def announced(job: Job, *, now: int, hint_ms: int, horizon_ms: int) -> Job:
    """Set when a sweep should look at a job that its maker hints if it is within the horizon; give the job.

    Args:
        job: the new job.
        now: milliseconds.
        hint_ms: how long a hint may stay unanswered.
        horizon_ms: how far ahead of its due time a job gets a hint.
    """
    near = job.due_at <= now + horizon_ms
    job.sweep_at = job.due_at + hint_ms if near else job.due_at - horizon_ms
    job.hints = 1 if near else 0
    return job


def start_job(
    function: FunctionRow,
    run_id: str,
    *,
    now: int,
    due_at: int,
    hint_ms: int,
    horizon_ms: int,
    flow: str | None = None,
    message: str | None = None,
) -> Job:
    """Make the first job of a run, announced.

    Args:
        now, due_at, hint_ms, horizon_ms: milliseconds.
        flow: what limits the run's jobs.
        message: what their messages carry.
    """
    job = Job(
        subject_id=run_id,
        key="start",
        kind=JobKind.START,
        name="",
        function_id=function.id,
        task_name=function.task_name,
        queue=function.queue,
        created_at=now,
        flow=flow,
        message=message,
        due_at=due_at,
        sweep_at=due_at,
    )
    return announced(job, now=now, hint_ms=hint_ms, horizon_ms=horizon_ms)
