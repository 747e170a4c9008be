"""Statements on event keys. A key itself is not stored."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from inngest_celery.store import credentials, schema

KIND = "event"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An event key. Times are milliseconds.

    Attributes:
        hash: of the key.
        name: what it is for.
        scopes: JSON list of the event names, and beginnings of names that end in ``*``, that it may send; empty: all.
        created_by: by whom.
        used_at: when it was used last, to the minute.
        replaces: the id of the key in whose place it was made.
    """

    id: str
    kind: str
    hash: str
    name: str
    scopes: str
    created_by: str
    created_at: int
    expires_at: int | None = None
    used_at: int | None = None
    revoked_at: int | None = None
    replaces: str | None = None

    @property
    def patterns(self) -> list[str]:
        found: list[str] = json.loads(self.scopes)
        return found


def add(connection: sa.Connection, row: KeyRow) -> None:
    connection.execute(sa.insert(schema.key), asdict(row))


def find(connection: sa.Connection, key_hash: str) -> KeyRow | None:
    """Give a key, good or not."""
    row = credentials.find(connection, schema.key, key_hash)
    return KeyRow(**row._mapping) if row and row.kind == KIND else None


def lock(connection: sa.Connection, key_id: str) -> KeyRow | None:
    """Give a key that nobody else changes until the transaction ends."""
    table = schema.key
    mine = sa.and_(table.c.id == key_id, table.c.kind == KIND)
    row = connection.execute(sa.select(table).where(mine).with_for_update()).first()
    return KeyRow(**row._mapping) if row else None


def touch(connection: sa.Connection, key: KeyRow, now: int) -> None:
    """Note that a key is used."""
    credentials.touch(connection, schema.key, key.id, key.used_at, now)


def expire(connection: sa.Connection, key_id: str, at: int) -> None:
    """Let a key be good until then."""
    connection.execute(sa.update(schema.key).where(schema.key.c.id == key_id).values(expires_at=at))


def all_of(connection: sa.Connection) -> list[KeyRow]:
    """Give all keys, the newest first, those among them that are good no more."""
    table = schema.key
    query = sa.select(table).where(table.c.kind == KIND).order_by(table.c.id.desc())
    return [KeyRow(**row._mapping) for row in connection.execute(query)]


def revoke(connection: sa.Connection, key_id: str, now: int) -> bool:
    """Make a key good for nothing; false if there is none that was not revoked. A signing key is none of these."""
    return lock(connection, key_id) is not None and credentials.revoke(connection, schema.key, key_id, now)
