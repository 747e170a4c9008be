"""Statements on people who may log in."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.inserts import insert_new

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class UserRow:
    """Somebody who may log in. Times are milliseconds.

    Attributes:
        name: in lower case.
        role: ``viewer``, ``operator`` or ``admin``.
        password: its hash; none for a user whom only the identity provider lets in.
        external: hash of what the identity provider calls this user.
    """

    name: str
    role: str
    password: str | None
    external: str | None
    created_at: int
    disabled_at: int | None = None


def get(connection: sa.Connection, name: str) -> UserRow | None:
    return _one(connection, schema.user.c.name == name)


def of_external(connection: sa.Connection, external: str) -> UserRow | None:
    """Give the user whom the identity provider knows."""
    return _one(connection, schema.user.c.external == external)


def all_of(connection: sa.Connection) -> list[UserRow]:
    """Give all users, by name."""
    table = schema.user
    return [UserRow(**row._mapping) for row in connection.execute(sa.select(table).order_by(table.c.name))]


def any_at_all(connection: sa.Connection) -> bool:
    """Tell whether there is somebody who can log in."""
    table = schema.user
    query = sa.select(table.c.name).where(table.c.disabled_at.is_(None)).limit(1)
    return connection.execute(query).first() is not None


def add(connection: sa.Connection, row: UserRow) -> bool:
    """Add a user; false if the name, or what the identity provider calls it, is taken."""
    insert_new(connection, schema.user, [asdict(row)])
    stored = get(connection, row.name)
    return stored == row


def lock(connection: sa.Connection, name: str) -> UserRow | None:
    """Lock a user, and all admins, until the end of the transaction: of two last admins one has to stay."""
    table = schema.user
    query = sa.select(table).where(sa.or_(table.c.name == name, table.c.role == ADMIN)).order_by(table.c.name)
    found = [UserRow(**row._mapping) for row in connection.execute(query.with_for_update())]
    return next((row for row in found if row.name == name), None)


def other_admins(connection: sa.Connection, name: str) -> bool:
    """Tell whether there is an admin besides this user who can log in."""
    table = schema.user
    others = (table.c.role == ADMIN, table.c.disabled_at.is_(None), table.c.name != name)
    return connection.execute(sa.select(table.c.name).where(*others).limit(1)).first() is not None


def save(connection: sa.Connection, row: UserRow) -> None:
    table = schema.user
    connection.execute(sa.update(table).where(table.c.name == row.name).values(**asdict(row)))


def _one(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> UserRow | None:
    row = connection.execute(sa.select(schema.user).where(condition)).first()
    return UserRow(**row._mapping) if row else None
