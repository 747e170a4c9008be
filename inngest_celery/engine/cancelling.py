"""Cancel a run, whoever asks for it."""

from __future__ import annotations

import sqlalchemy as sa

from inngest_celery.engine.lifecycle import cancelled_output, end_of
from inngest_celery.store import events, runs
from inngest_celery.store.rows import Event, Job, RunStatus


def cancel_run(
    connection: sa.Connection,
    run_id: str,
    reason: str,
    *,
    now: int,
    hint_ms: int,
    route_queue: str,
) -> list[Job] | None:
    """Cancel a run that has not ended.

    Returns:
        The jobs that are due now, or ``None`` when there is no such run or it has ended.
    """
    run = runs.lock(connection, run_id)
    if run is None or RunStatus(run.status).ended:
        return None
    event = events.get(connection, run.event_id)
    if event is None:
        event = Event(run.event_id, "", run.event_id, "{}", run.created_at, run.created_at)
    end = end_of(
        run,
        event,
        RunStatus.CANCELLED,
        cancelled_output(),
        now=now,
        hint_ms=hint_ms,
        route_queue=route_queue,
        reason=reason[:255],
        batch=events.of_run(connection, run.id) if run.batch is not None else (),
    )
    return runs.finish(connection, run, end)
