"""Statements that count attempts to log in. They are counted before a password is looked at, so many at once count."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.inserts import insert_new


def count(connection: sa.Connection, most: Mapping[str, int], now: int, window_ms: int) -> int | None:
    """Count an attempt under several keys, or under none if one of them has had as many as it may.

    Args:
        most: how many attempts each key may have in a window.
        now, window_ms: milliseconds.

    Returns:
        When the next attempt may be made, if this one may not.
    """
    table, keys = schema.login_attempts, sorted(most)
    insert_new(connection, table, [{"id": key, "attempts": 0, "until": now + window_ms} for key in keys])
    query = sa.select(table).where(table.c.id.in_(keys)).order_by(table.c.id).with_for_update()
    rows = {row.id: row for row in connection.execute(query)}
    full = [row.until for row in rows.values() if row.until > now and row.attempts >= most[row.id]]
    if full:
        return int(max(full))
    for key in keys:
        over = rows[key].until <= now
        values = {"attempts": 1, "until": now + window_ms} if over else {"attempts": rows[key].attempts + 1}
        connection.execute(sa.update(table).where(table.c.id == key).values(**values))
    return None


def give_back(connection: sa.Connection, key: str, others: list[str], now: int) -> None:
    """After a successful attempt forget a key, and do not count the attempt under others; drop what is over."""
    table = schema.login_attempts
    connection.execute(sa.delete(table).where(sa.or_(table.c.id == key, table.c.until <= now)))
    counted = sa.and_(table.c.id.in_(others), table.c.attempts > 0)
    connection.execute(sa.update(table).where(counted).values(attempts=table.c.attempts - 1))
