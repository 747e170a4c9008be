"""Erasures: what is to be erased, kept until it is, so that one that dies goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.removing import Counts
from inngest_celery.store.rows import values

RUN, EVENT, MEMO, HELD = "run", "event", "memo", "held"


@dataclass(slots=True)
class Erasure:
    """One. Times are milliseconds.

    Attributes:
        asked: a keyed hash of what was asked for.
        mode: ``erase`` or ``redact``.
        cancels: whether runs that have not ended are cancelled.
        planned_at: when its items were complete.
        receipt: JSON text, once it has ended.
    """

    id: str
    asked: str
    mode: str
    cancels: bool
    created_by: str
    created_at: int
    planned_at: int | None = None
    ended_at: int | None = None
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A run, an event or a memo that is to be erased, or something that is held back."""

    kind: str
    subject_id: str
    key: str = ""


def get(connection: sa.Connection, erasure_id: str) -> Erasure | None:
    return _first(connection, schema.erasure.c.id == erasure_id)


def unfinished(connection: sa.Connection, asked: str) -> Erasure | None:
    """Give the erasure of the same request that was planned and has not ended, if there is one."""
    table = schema.erasure
    return _first(connection, table.c.asked == asked, table.c.planned_at.is_not(None), table.c.ended_at.is_(None))


def _first(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> Erasure | None:
    query = sa.select(schema.erasure).where(*conditions).order_by(schema.erasure.c.id)
    row = connection.execute(query.limit(1)).first()
    return Erasure(**row._mapping) if row else None


def insert(connection: sa.Connection, erasure: Erasure) -> None:
    connection.execute(sa.insert(schema.erasure), values(erasure))


def add_items(connection: sa.Connection, erasure_id: str, items: Iterable[Item]) -> None:
    """Add to a plan what is not in it."""
    fresh = [
        {"erasure_id": erasure_id, "kind": item.kind, "subject_id": item.subject_id, "key": item.key} for item in items
    ]
    insert_new(connection, schema.erasure_item, fresh)


def planned(connection: sa.Connection, erasure_id: str, now: int) -> bool:
    """Note that a plan is complete; false if it was discarded meanwhile."""
    table = schema.erasure
    return connection.execute(sa.update(table).where(table.c.id == erasure_id).values(planned_at=now)).rowcount == 1


def discard(connection: sa.Connection, asked: str) -> None:
    """Delete the plans of a request that were never complete: whoever made them has died, or finds them gone."""
    table, item = schema.erasure, schema.erasure_item
    incomplete = (table.c.asked == asked, table.c.planned_at.is_(None))
    found = connection.execute(sa.select(table.c.id).where(*incomplete)).scalars().all()
    connection.execute(sa.delete(item).where(item.c.erasure_id.in_(found)))
    connection.execute(sa.delete(table).where(table.c.id.in_(found), *incomplete))


def items(connection: sa.Connection, erasure_id: str) -> list[Item]:
    """Give a whole plan."""
    table = schema.erasure_item
    query = sa.select(table.c.kind, table.c.subject_id, table.c.key).where(table.c.erasure_id == erasure_id)
    return [Item(*row) for row in connection.execute(query.order_by(table.c.kind, table.c.subject_id, table.c.key))]


def left(connection: sa.Connection, erasure_id: str, kind: str, limit: int) -> list[Item]:
    """Give some of what is still to be done."""
    table = schema.erasure_item
    query = sa.select(table.c.kind, table.c.subject_id, table.c.key).where(
        table.c.erasure_id == erasure_id, table.c.kind == kind, table.c.done_at.is_(None)
    )
    return [Item(*row) for row in connection.execute(query.order_by(table.c.subject_id, table.c.key).limit(limit))]


def done(connection: sa.Connection, erasure_id: str, these: Sequence[Item], counts: Counts, now: int) -> None:
    """Note that some items of one kind are done, in the transaction that does them, and what went with them."""
    table, first = schema.erasure_item, these[0]
    same = (table.c.erasure_id == erasure_id, table.c.kind == first.kind)
    some = sa.update(table).where(*same, table.c.subject_id.in_([item.subject_id for item in these]))
    connection.execute(some.where(table.c.key.in_({item.key for item in these})).values(done_at=now))
    one = sa.update(table).where(*same, table.c.subject_id == first.subject_id, table.c.key == first.key)
    connection.execute(one.values(counts=json.dumps(counts)))


def hold_back(connection: sa.Connection, erasure_id: str, item: Item) -> None:
    """Note that an item is held after all."""
    drop(connection, erasure_id, item)
    add_items(connection, erasure_id, [Item(HELD, item.subject_id)])


def counted(connection: sa.Connection, erasure_id: str) -> Counts:
    """Give how many rows of each table went."""
    table = schema.erasure_item
    query = sa.select(table.c.counts).where(table.c.erasure_id == erasure_id, table.c.counts.is_not(None))
    total: Counts = {}
    for text in connection.execute(query).scalars():
        for name, number in json.loads(text).items():
            if number:
                total[name] = total.get(name, 0) + number
    return total


def end(connection: sa.Connection, erasure_id: str, receipt: str, now: int) -> bool:
    """End an erasure with its receipt, and forget its plan; false if it has ended before."""
    table, item = schema.erasure, schema.erasure_item
    mine = sa.update(table).where(table.c.id == erasure_id, table.c.ended_at.is_(None))
    ended = connection.execute(mine.values(receipt=receipt, ended_at=now)).rowcount == 1
    connection.execute(sa.delete(item).where(item.c.erasure_id == erasure_id))
    return ended


def drop(connection: sa.Connection, erasure_id: str, item: Item) -> None:
    """Take an item out of a plan."""
    table = schema.erasure_item
    mine = (table.c.erasure_id == erasure_id, table.c.kind == item.kind, table.c.subject_id == item.subject_id)
    connection.execute(sa.delete(table).where(*mine))
