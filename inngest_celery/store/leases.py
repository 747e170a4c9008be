"""Named leases: of all workers that want to do a thing, one does it."""

from __future__ import annotations

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.inserts import insert_new

SWEEP = "sweep"


@retried
def acquire(database: Database, name: str, owner: str, *, now: int, until: int) -> bool:
    """Take or prolong a lease; false when somebody else has it. Times are milliseconds."""
    table = schema.lease
    take = (
        sa.update(table)
        .where(table.c.name == name, sa.or_(table.c.owner == owner, table.c.until <= now))
        .values(owner=owner, until=until)
    )
    # Statement by statement: a process that is frozen here must not hold the row that all others want.
    with database.autocommit() as connection:
        if connection.execute(take).rowcount == 1:
            return True
    with database.autocommit() as connection:
        insert_new(connection, table, [{"name": name, "owner": owner, "until": until}])
    with database.autocommit() as connection:
        holder = connection.execute(sa.select(table.c.owner).where(table.c.name == name)).scalar_one_or_none()
    return bool(holder == owner)


def holder(connection: sa.Connection, name: str) -> tuple[str, int] | None:
    """Tell who has a lease, or had it last, and until when (milliseconds)."""
    table = schema.lease
    row = connection.execute(sa.select(table.c.owner, table.c.until).where(table.c.name == name)).first()
    return (row.owner, row.until) if row else None


def release(database: Database, name: str, owner: str) -> None:
    """Give a lease up, so that another worker need not wait for its end."""
    table = schema.lease
    with database.autocommit() as connection:
        connection.execute(sa.delete(table).where(table.c.name == name, table.c.owner == owner))


def until(connection: sa.Connection, name: str) -> int | None:
    """Give when a lease runs out, in milliseconds; ``None`` if nobody has it."""
    table = schema.lease
    return connection.execute(sa.select(table.c.until).where(table.c.name == name)).scalar_one_or_none()
