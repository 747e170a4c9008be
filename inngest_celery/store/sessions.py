"""Statements on sessions: who is logged in, in which browser, until when. The cookie's value is not stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.users import UserRow


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session. Times are milliseconds.

    Attributes:
        hash: of the cookie's value.
        expires_at: when it ends unless it is used before.
        ends_at: when it ends however much it is used.
        agent: the browser, as it says.
    """

    id: str
    hash: str
    user_name: str
    created_at: int
    seen_at: int
    expires_at: int
    ends_at: int
    address: str
    agent: str


def add(connection: sa.Connection, row: SessionRow) -> None:
    connection.execute(sa.insert(schema.session), asdict(row))


def find(connection: sa.Connection, value_hash: str, now: int) -> tuple[SessionRow, UserRow] | None:
    """Give a session that goes on, of a user who may log in, with this user: one statement."""
    session, user = schema.session, schema.user
    query = (
        sa.select(session, *(column.label(f"user_{column.name}_") for column in user.c))
        .join_from(session, user, user.c.name == session.c.user_name)
        .where(
            session.c.hash == value_hash,
            session.c.expires_at > now,
            session.c.ends_at > now,
            user.c.disabled_at.is_(None),
        )
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    columns = row._mapping
    return (
        SessionRow(**{name: columns[name] for name in SessionRow.__slots__}),
        UserRow(**{name: columns[f"user_{name}_"] for name in UserRow.__slots__}),
    )


def touch(connection: sa.Connection, session_id: str, now: int, expires_at: int) -> None:
    """Note that a session is used."""
    table = schema.session
    connection.execute(sa.update(table).where(table.c.id == session_id).values(seen_at=now, expires_at=expires_at))


def of_user(connection: sa.Connection, user_name: str, now: int) -> list[SessionRow]:
    """Give a user's sessions that go on, the newest first."""
    table = schema.session
    query = sa.select(table).where(table.c.user_name == user_name, table.c.expires_at > now, table.c.ends_at > now)
    return [SessionRow(**row._mapping) for row in connection.execute(query.order_by(table.c.id.desc()))]


def end(connection: sa.Connection, value_hash: str) -> bool:
    """End the session of a cookie; false if there is none."""
    table = schema.session
    return connection.execute(sa.delete(table).where(table.c.hash == value_hash)).rowcount == 1


def end_one(connection: sa.Connection, user_name: str, session_id: str) -> bool:
    """End one session of a user; false if there is none."""
    table = schema.session
    mine = sa.and_(table.c.id == session_id, table.c.user_name == user_name)
    return connection.execute(sa.delete(table).where(mine)).rowcount == 1


def end_all(connection: sa.Connection, user_name: str, but: str | None = None) -> int:
    """End all sessions of a user, but one perhaps, by its id; tells how many."""
    table = schema.session
    query = sa.delete(table).where(table.c.user_name == user_name)
    if but is not None:
        query = query.where(table.c.id != but)
    return connection.execute(query).rowcount


def forget_expired(connection: sa.Connection, now: int) -> None:
    """Delete what nobody can use any more."""
    table = schema.session
    connection.execute(sa.delete(table).where(table.c.expires_at <= now))
