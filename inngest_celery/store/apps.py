"""Statements on apps that are called over the wire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.functions import CALL_TASK, FunctionRow
from inngest_celery.store.inserts import insert_new

SERVE, CONNECT, API = "serve", "connect", "api"
# What stands for an SDK where functions are in Python code, and workers run them.
PYTHON = "py:native"


@dataclass(frozen=True, slots=True)
class AppRow:
    """An app as it has registered. Times are milliseconds.

    Attributes:
        id: its name, with which the ids of its functions begin.
        url: where it is served; empty if it dials in, or only has durable endpoints.
        method: how it is reached: ``SERVE``, ``CONNECT``, or ``API`` if it only has durable endpoints.
        sdk: language and version, as ``py:v0.5.19``.
        checksum: of what it registered last.
        error: why its last synchronisation failed.
        discovered: whether it was found, not given.
    """

    id: str
    url: str
    method: str
    sdk: str
    checksum: str
    created_at: int
    synced_at: int
    framework: str | None = None
    platform: str | None = None
    version: str | None = None
    error: str | None = None
    discovered: bool = False
    archived_at: int | None = None


def get(connection: sa.Connection, app_id: str) -> AppRow | None:
    return _one(connection, schema.app.c.id == app_id)


def at(connection: sa.Connection, url: str) -> AppRow | None:
    """Give the app that is served at an address."""
    return _one(connection, schema.app.c.url == url)


def all_of(connection: sa.Connection) -> list[AppRow]:
    """Give all apps that are not archived, by name."""
    table = schema.app
    query = sa.select(table).where(table.c.archived_at.is_(None)).order_by(table.c.id)
    return [AppRow(**row._mapping) for row in connection.execute(query)]


def with_python(found: Iterable[AppRow], known: Iterable[FunctionRow]) -> list[AppRow]:
    """Give apps by name, and with them those in Python code, of which only functions are registered.

    Args:
        found: those that are called over the wire.
        known: all functions.
    """
    every = {app.id: app for app in found}
    for row in known:
        if row.task_name != CALL_TASK and row.archived_at is None:
            every.setdefault(row.app_id, AppRow(row.app_id, "", SERVE, PYTHON, "", row.updated_at, row.updated_at))
    return sorted(every.values(), key=lambda app: app.id)


def lock(connection: sa.Connection, app: AppRow) -> AppRow:
    """Insert an app unless it is there, and give what is there, locked until the end of the transaction."""
    table = schema.app
    insert_new(connection, table, [_columns(app)])
    row = connection.execute(sa.select(table).where(table.c.id == app.id).with_for_update()).one()
    return AppRow(**row._mapping)


def save(connection: sa.Connection, app: AppRow) -> None:
    """Replace an app that is there."""
    connection.execute(sa.update(schema.app).where(schema.app.c.id == app.id).values(**_columns(app)))


def _one(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> AppRow | None:
    row = connection.execute(sa.select(schema.app).where(wanted).order_by(schema.app.c.id)).first()
    return AppRow(**row._mapping) if row else None


def _columns(app: AppRow) -> dict[str, Any]:
    return {name: getattr(app, name) for name in AppRow.__slots__}
