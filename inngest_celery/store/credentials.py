"""Statements on values that let somebody in, and of which only hashes are stored: the same for all tables of them."""

from __future__ import annotations

import sqlalchemy as sa

# How exactly it is known when one was used: not every request is to be a write.
USED_MS = 60_000


def find(connection: sa.Connection, table: sa.Table, value_hash: str) -> sa.Row[tuple[object, ...]] | None:
    """Give the row of a value, good or not. The index is of hashes: how long it takes tells nothing about the value."""
    return connection.execute(sa.select(table).where(table.c.hash == value_hash)).first()


def is_good(row: object, now: int) -> bool:
    """Tell whether a row is one that lets somebody in: neither revoked nor expired."""
    expires_at: int | None = getattr(row, "expires_at")  # noqa: B009  of any table's row
    return getattr(row, "revoked_at") is None and (expires_at is None or expires_at > now)  # noqa: B009


def touch(connection: sa.Connection, table: sa.Table, row_id: str, used_at: int | None, now: int) -> None:
    """Note that one is used, to the minute."""
    if used_at is None or used_at <= now - USED_MS:
        connection.execute(sa.update(table).where(table.c.id == row_id).values(used_at=now))


def revoke(connection: sa.Connection, table: sa.Table, row_id: str, now: int) -> bool:
    """Make one good for nothing; false if there is none that was not revoked."""
    good = sa.and_(table.c.id == row_id, table.c.revoked_at.is_(None))
    return connection.execute(sa.update(table).where(good).values(revoked_at=now)).rowcount == 1
