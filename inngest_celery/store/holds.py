"""Legal holds: what must not be deleted.

Whoever deletes shares a lock that whoever adds a hold takes alone. So a deletion that has not seen a new hold has ended
when the hold's command has, and each one that begins later sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.rows import values

_LOCK = "holds"


@dataclass(slots=True)
class Hold:
    """A hold on one run, on a function's runs, or on those of which an expression is true. Times are milliseconds."""

    id: str
    reason: str
    created_by: str
    created_at: int
    run_id: str | None = None
    function_id: str | None = None
    expression: str | None = None
    released_by: str | None = None
    released_at: int | None = None


def prepare(database: Database) -> None:
    """Make the lock, before the transaction that takes it."""
    with database.autocommit() as connection:
        insert_new(connection, schema.lease, [{"name": _LOCK, "owner": "", "until": 0}])


def share(connection: sa.Connection) -> list[Hold]:
    """Keep holds from being added until this transaction ends, and give those that there are.

    Raises:
        LockMissing: the lock is not there yet; see :func:`prepare`.
    """
    if _lock(connection, read=True) is None:
        raise LockMissing
    return active(connection)


def add(database: Database, hold: Hold) -> None:
    """Add a hold, once nobody deletes who does not know it."""
    prepare(database)
    _add(database, hold)


@retried
def _add(database: Database, hold: Hold) -> None:
    with database.transaction() as connection:
        _lock(connection, read=False)
        connection.execute(sa.insert(schema.hold), values(hold))


def release(connection: sa.Connection, hold_id: str, by: str, now: int) -> bool:
    """End a hold; false if there is none with this id, or it has ended before."""
    table = schema.hold
    mine = sa.update(table).where(table.c.id == hold_id, table.c.released_at.is_(None))
    return connection.execute(mine.values(released_by=by, released_at=now)).rowcount == 1


def active(connection: sa.Connection) -> list[Hold]:
    """Give the holds that have not ended, the oldest first."""
    return _read(connection, sa.select(schema.hold).where(schema.hold.c.released_at.is_(None)))


def all_of(connection: sa.Connection) -> list[Hold]:
    """Give all holds that there have ever been, the oldest first."""
    return _read(connection, sa.select(schema.hold))


class LockMissing(Exception):
    """The lock that holds and deletions share is not there yet."""


def _lock(connection: sa.Connection, *, read: bool) -> str | None:
    table = schema.lease
    query = sa.select(table.c.name).where(table.c.name == _LOCK).with_for_update(read=read)
    return connection.execute(query).scalar_one_or_none()


def _read(connection: sa.Connection, query: sa.Select[tuple[object, ...]]) -> list[Hold]:
    return [Hold(**row._mapping) for row in connection.execute(query.order_by(schema.hold.c.id))]
