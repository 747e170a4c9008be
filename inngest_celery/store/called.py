"""Runs by the id under which Celery code has called them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus


def unended(connection: sa.Connection, task_ids: Sequence[str]) -> list[str]:
    """Give the runs that have not ended, and that these calls have started, or that have one of these ids themselves.

    A run that many calls have started together is none of these: it is not one caller's to end.
    """
    run, event = schema.run, schema.event
    open_ones = run.c.status < RunStatus.COMPLETED.value
    by_id = sa.select(run.c.id).where(run.c.id.in_(task_ids), open_ones)
    by_call = (
        sa.select(run.c.id)
        .join_from(event, run, run.c.event_id == event.c.id)
        .where(schema.is_call(), event.c.external_id.in_(task_ids), open_ones, run.c.batch.is_(None))
    )
    return sorted({*connection.execute(by_id).scalars(), *connection.execute(by_call).scalars()})


def unrouted(connection: sa.Connection, task_ids: Sequence[str]) -> list[str]:
    """Give the events of those of these calls that have not been routed yet."""
    event, job = schema.event, schema.job
    query = (
        sa.select(event.c.id)
        .join_from(event, job, sa.and_(job.c.subject_id == event.c.id, job.c.key == "route"))
        .where(schema.is_call(), event.c.external_id.in_(task_ids))
    )
    return list(connection.execute(query).scalars())


def is_known(connection: sa.Connection, task_id: str) -> bool:
    """Tell whether this call has started a run, or will."""
    event = schema.event
    query = sa.select(event.c.id).where(schema.is_call(), event.c.external_id == task_id)
    return connection.execute(query.limit(1)).first() is not None
