"""Signals: names that one run at a time waits for. Whoever sends one resumes that run, or is told that none waits."""

from __future__ import annotations

import sqlalchemy as sa

from inngest_celery.store import schema, waits
from inngest_celery.store.changes import Changes, SignalWait
from inngest_celery.store.rows import Job


def signal_topic(signal: str) -> str:
    """Give the name under which a signal's waits stand among those for events; no user's event can have it."""
    return f"inngest/signal:{signal}"


def conflict(connection: sa.Connection, changes: Changes) -> str | None:
    """Give a signal that a checkpoint wants to wait for, and that another run waits for. Its topic is locked."""
    for signal in changes.signals:
        others = sa.exists().where(_others(changes, signal))
        if not signal.replaces and connection.execute(sa.select(others)).scalar_one():
            return signal.signal
    return None


def take_over(connection: sa.Connection, changes: Changes) -> None:
    """Take signals from runs that wait for them. They go on waiting, for nothing, until their own time is over."""
    for signal in changes.signals:
        connection.execute(sa.update(schema.wait).where(_others(changes, signal)).values(event_name=""))


def _others(changes: Changes, signal: SignalWait) -> sa.ColumnElement[bool]:
    table = schema.wait
    return sa.and_(table.c.event_name == signal.wait.event_name, table.c.run_id != changes.run_id)


def send(connection: sa.Connection, signal: str, memo: str, *, now: int, sweep_at: int) -> Job | None:
    """Resume the run that waits for a signal; ``None`` if there is none.

    Args:
        connection: in a transaction.
        memo: JSON text that the waiting step sees.
        now, sweep_at: milliseconds.
    """
    if waits.share_topic(connection, signal_topic(signal)) is None:
        return None
    for wait in waits.candidates(connection, signal_topic(signal), (), now):
        resumed = waits.resume(connection, wait.run_id, wait.key, memo, now=now, sweep_at=sweep_at)
        if resumed is not None:
            return resumed
    return None
