"""Statements on when signing keys were used last. The keys are settings; here are hashes of what stands for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.store import schema
from inngest_celery.store.credentials import USED_MS
from inngest_celery.store.inserts import insert_new

KIND = "signing"
_MOST_NAME = 100


@dataclass(frozen=True, slots=True)
class Use:
    """When a key was used last, as far as it is known.

    Attributes:
        seen_at: since when uses of it are noted, in milliseconds.
        used_at: when it was used last, to the minute; ``None`` if never.
        used_by: who used it then, such as ``app shop``.
    """

    id: str
    hash: str
    seen_at: int
    used_at: int | None
    used_by: str


def note(connection: sa.Connection, key_hash: str, at: int, by: str) -> None:
    """Note that a key was used, unless it was noted within the last minute.

    Args:
        at: when, in milliseconds.
        by: who it was.
    """
    table = schema.key
    before = sa.or_(table.c.used_at.is_(None), table.c.used_at <= at - USED_MS)
    mine = sa.and_(table.c.hash == key_hash, table.c.kind == KIND, before)
    connection.execute(sa.update(table).where(mine).values(used_at=at, name=by[:_MOST_NAME]))


def watch(connection: sa.Connection, key_hashes: Collection[str], now: int) -> None:
    """Begin to note uses of keys, where that has not begun yet."""
    row = {"kind": KIND, "name": "", "scopes": "[]", "created_by": "settings", "created_at": now}
    insert_new(connection, schema.key, [{"id": ids.new(now), "hash": each, **row} for each in key_hashes])


def uses(connection: sa.Connection) -> list[Use]:
    """Give what is known of all keys, those among them that are in no setting any more; the newest first."""
    table = schema.key
    query = sa.select(table).where(table.c.kind == KIND).order_by(table.c.id.desc())
    return [
        Use(id=row.id, hash=row.hash, seen_at=row.created_at, used_at=row.used_at, used_by=row.name)
        for row in connection.execute(query)
    ]
