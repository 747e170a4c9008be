"""Store events with the jobs that route them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from inngest_celery.store import events as event_rows
from inngest_celery.store import fast, jobs
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.rows import Event, Job


@retried
def store(database: Database, events: Sequence[Event], routes: Sequence[Job], *, may_repeat: bool = False) -> None:
    """Store events and their route jobs in one transaction.

    One that is stored already was routed, or will be: a request that is repeated starts nothing again.

    Args:
        may_repeat: whether some may be stored already.
    """
    if database.dialect == "postgresql" and len(events) == 1:
        fast.store_event(database, events[0], routes[0])
        return
    with database.transaction() as connection:
        known = event_rows.known(connection, [event.id for event in events]) if may_repeat else set[str]()
        join(connection, events, [job for job in routes if job.subject_id not in known])


def join(connection: sa.Connection, events: Sequence[Event], routes: Sequence[Job]) -> None:
    """Store events and their route jobs in a transaction that somebody else commits."""
    event_rows.insert(connection, events)
    jobs.insert(connection, routes)
