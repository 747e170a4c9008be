"""Statements on functions and their triggers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.store.direct import Statement
from inngest_celery.store.inserts import insert_new

# What becomes of the new runs of a function that is paused: they are skipped, or held until it goes on. One that is
# drained skips new runs and ends those that it has.
SKIP, HOLD, DRAIN = "skip", "hold", "drain"
# The task of all functions that are called over the wire: which those are is known to the database only.
CALL_TASK = "inngest.call"


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """A function as it is registered.

    Attributes:
        config: JSON text: its configuration in the wire form.
        paused: ``skip``, ``hold`` or ``drain``; ``None`` if its runs start.
    """

    id: str
    app_id: str
    config: str
    checksum: str
    version: int
    task_name: str
    queue: str
    archived_at: int | None
    updated_at: int
    paused: str | None = None


@dataclass(frozen=True, slots=True)
class Triggered:
    """A function that an event's name concerns, with the expressions of the triggers that name it."""

    function: FunctionRow
    expressions: tuple[str | None, ...]


# Sent for every event; with PostgreSQL directly, elsewhere at least made only once.
_TRIGGERED_DIRECT = Statement(f"""
SELECT {", ".join(f"f.{name}" for name in FunctionRow.__slots__)}, t.expression
FROM inngest_trigger t JOIN inngest_function f ON f.id = t.function_id
WHERE t.event_name = ANY(%(names)s) AND f.archived_at IS NULL ORDER BY f.id, t.position
""")  # noqa: S608
_TRIGGERED = (
    sa.select(*(schema.function.c[name] for name in FunctionRow.__slots__), schema.trigger.c.expression)
    .join_from(schema.function, schema.trigger, schema.trigger.c.function_id == schema.function.c.id)
    .where(
        schema.trigger.c.event_name.in_(sa.bindparam("names", expanding=True)), schema.function.c.archived_at.is_(None)
    )
    .order_by(schema.function.c.id, schema.trigger.c.position)
)


def triggered_by(database: Database, names: Sequence[str]) -> list[Triggered]:
    """Give the functions with a trigger of one of these names, each once."""
    rows: Iterable[Sequence[Any]]
    if database.dialect == "postgresql":
        rows = _TRIGGERED_DIRECT.rows(database, {"names": names})
    else:
        with database.autocommit() as connection:
            rows = connection.execute(_TRIGGERED, {"names": names}).all()
    found: dict[FunctionRow, list[str | None]] = {}
    for *columns, expression in rows:
        found.setdefault(FunctionRow(*columns), []).append(expression)
    return [Triggered(row, tuple(expressions)) for row, expressions in found.items()]


def get(connection: sa.Connection, function_id: str) -> FunctionRow | None:
    row = connection.execute(sa.select(schema.function).where(schema.function.c.id == function_id)).first()
    return FunctionRow(**row._mapping) if row else None


def find(connection: sa.Connection, name: str) -> FunctionRow | None:
    """Give a function by its full id, or by the UUID that stands for it on the wire."""
    found = get(connection, name)
    if found is not None or name.count("-") != 4:
        return found
    return next((row for row in all_of(connection) if ids.function_uuid(row.id) == name.lower()), None)


def several(connection: sa.Connection, function_ids: Collection[str]) -> dict[str, FunctionRow]:
    """Give functions by id, as far as there are such."""
    if not function_ids:
        return {}
    query = sa.select(schema.function).where(schema.function.c.id.in_(sorted(function_ids)))
    return {row.id: FunctionRow(**row._mapping) for row in connection.execute(query)}


def of_app(connection: sa.Connection, app_id: str) -> list[FunctionRow]:
    """Give the functions of an app that start runs, by id."""
    table = schema.function
    query = sa.select(table).where(table.c.app_id == app_id, table.c.archived_at.is_(None)).order_by(table.c.id)
    return [FunctionRow(**row._mapping) for row in connection.execute(query)]


def all_of(connection: sa.Connection) -> list[FunctionRow]:
    return [FunctionRow(**row._mapping) for row in connection.execute(sa.select(schema.function))]


def save(connection: sa.Connection, function: FunctionRow, triggers: Sequence[tuple[str, str | None]]) -> None:
    """Insert or replace a function and its event triggers. Whether it is paused is left as it is."""
    table = schema.function
    columns = {name: getattr(function, name) for name in FunctionRow.__slots__}
    insert_new(connection, table, [columns])
    del columns["paused"]
    connection.execute(sa.update(table).where(table.c.id == function.id).values(**columns))
    connection.execute(sa.delete(schema.trigger).where(schema.trigger.c.function_id == function.id))
    rows = [
        {"function_id": function.id, "position": position, "event_name": name, "expression": expression}
        for position, (name, expression) in enumerate(triggers)
    ]
    insert_new(connection, schema.trigger, rows)


def archive(connection: sa.Connection, function_id: str, now: int) -> bool:
    """Let a function start no more runs; false when there is none, or it does not start any already."""
    table = schema.function
    archived = connection.execute(
        sa.update(table).where(table.c.id == function_id, table.c.archived_at.is_(None)).values(archived_at=now)
    )
    return archived.rowcount == 1


def pause(connection: sa.Connection, function_id: str, mode: str | None) -> bool:
    """Say what becomes of a function's new runs, and wait for the transactions that hold some; false if it is none."""
    table = schema.function
    paused = connection.execute(sa.update(table).where(table.c.id == function_id).values(paused=mode))
    return paused.rowcount == 1


def share_paused(connection: sa.Connection, function_id: str) -> str | None:
    """Tell whether a function is paused, and let nobody change it until the end of the transaction."""
    table = schema.function
    query = sa.select(table.c.paused).where(table.c.id == function_id).with_for_update(read=True)
    return connection.execute(query).scalar_one_or_none()
