"""Statements on API tokens. A token itself is not stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import sqlalchemy as sa

from inngest_celery.store import credentials, schema


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token. Times are milliseconds.

    Attributes:
        hash: of the token.
        name: what it is for.
        scopes: what it allows, separated by spaces.
        created_by: by whom.
        used_at: when it was used last, to the minute.
    """

    id: str
    hash: str
    name: str
    scopes: str
    created_by: str
    created_at: int
    expires_at: int | None = None
    used_at: int | None = None
    revoked_at: int | None = None


def add(connection: sa.Connection, row: TokenRow) -> None:
    connection.execute(sa.insert(schema.token), asdict(row))


def find(connection: sa.Connection, token_hash: str, now: int) -> TokenRow | None:
    """Give a token that is good."""
    row = credentials.find(connection, schema.token, token_hash)
    return TokenRow(**row._mapping) if row and credentials.is_good(row, now) else None


def touch(connection: sa.Connection, token: TokenRow, now: int) -> None:
    """Note that a token is used."""
    credentials.touch(connection, schema.token, token.id, token.used_at, now)


def all_of(connection: sa.Connection) -> list[TokenRow]:
    """Give all tokens, the newest first, those among them that are good no more."""
    table = schema.token
    return [TokenRow(**row._mapping) for row in connection.execute(sa.select(table).order_by(table.c.id.desc()))]


def revoke(connection: sa.Connection, token_id: str, now: int) -> bool:
    """Make a token good for nothing; false if there is none that was good."""
    return credentials.revoke(connection, schema.token, token_id, now)
