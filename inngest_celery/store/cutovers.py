"""The percentages that operators have set for calls that move from old code to functions."""

from __future__ import annotations

import sqlalchemy as sa

from inngest_celery.sdk.cutover import Shares
from inngest_celery.store import schema


def get(connection: sa.Connection, name: str) -> Shares | None:
    """Give what was set for the calls of some old code; None where what its own code says holds."""
    table = schema.cutover
    row = connection.execute(sa.select(table.c.percent, table.c.shadow).where(table.c.name == name)).one_or_none()
    return None if row is None else Shares(*row)


def put(connection: sa.Connection, name: str, shares: Shares, now: int) -> None:
    """Let other percentages hold than the code says."""
    drop(connection, name)
    connection.execute(
        sa.insert(schema.cutover).values(name=name, percent=shares.percent, shadow=shares.shadow, set_at=now)
    )


def drop(connection: sa.Connection, name: str) -> bool:
    """Let what the code says hold again; false if it did."""
    table = schema.cutover
    return bool(connection.execute(sa.delete(table).where(table.c.name == name)).rowcount)
