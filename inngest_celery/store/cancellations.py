"""Statements on requests to cancel many runs at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.rows import Run, RunStatus


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A request, and how far it has been carried out. Times are milliseconds.

    Attributes:
        function_id: whose runs.
        started_after, started_before: when these were created; the end is left out itself.
        expression: over the event that started a run; all, if empty.
        position: the last run that was looked at.
        cancelled: how many runs it has cancelled so far.
        ended_at: when it was carried out.
    """

    id: str
    app_id: str
    function_id: str
    started_after: int | None
    started_before: int
    expression: str | None
    created_at: int
    position: str | None = None
    cancelled: int = 0
    ended_at: int | None = None


def insert(connection: sa.Connection, cancellation: Cancellation) -> None:
    connection.execute(sa.insert(schema.cancellation), _columns(cancellation))


def lock(connection: sa.Connection, cancellation_id: str) -> Cancellation | None:
    """Lock a request until the end of the transaction; ``None`` if it was taken back."""
    table = schema.cancellation
    row = connection.execute(sa.select(table).where(table.c.id == cancellation_id).with_for_update()).first()
    return Cancellation(**row._mapping) if row else None


def save(connection: sa.Connection, cancellation: Cancellation) -> None:
    table = schema.cancellation
    connection.execute(sa.update(table).where(table.c.id == cancellation.id).values(**_columns(cancellation)))


def delete(connection: sa.Connection, cancellation_id: str) -> bool:
    """Take a request back; false if there is none."""
    table = schema.cancellation
    return connection.execute(sa.delete(table).where(table.c.id == cancellation_id)).rowcount == 1


def page(connection: sa.Connection, limit: int, before: str | None = None) -> list[Cancellation]:
    """Give requests, the newest first."""
    table = schema.cancellation
    query = sa.select(table).order_by(table.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.id < before)
    return [Cancellation(**row._mapping) for row in connection.execute(query)]


def next_runs(connection: sa.Connection, cancellation: Cancellation, limit: int) -> list[Run]:
    """Give the runs that are to be looked at next, which have not ended."""
    table = schema.run
    query = sa.select(table).where(
        table.c.function_id == cancellation.function_id,
        table.c.status < RunStatus.COMPLETED.value,
        table.c.created_at < cancellation.started_before,
    )
    if cancellation.started_after is not None:
        query = query.where(table.c.created_at >= cancellation.started_after)
    if cancellation.position is not None:
        query = query.where(table.c.id > cancellation.position)
    return [Run(**row._mapping) for row in connection.execute(query.order_by(table.c.id).limit(limit))]


def _columns(cancellation: Cancellation) -> dict[str, Any]:
    return {name: getattr(cancellation, name) for name in Cancellation.__slots__}
