"""What is stored under which key, and the way from one key to another, a few rows at a time.

What is under the wanted key already is not looked at again: whoever is interrupted, or comes second, goes on with what
is left. A row that changes meanwhile is left to whoever changed it, or to the next round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from inngest_celery.crash import crash_point
from inngest_celery.store import schema
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.keyring import MARK, Keyring
from inngest_celery.store.sealed import Json, open_value, places_of

TABLES = [table for table in schema.metadata.sorted_tables if places_of(table)]
PLAIN, UNKNOWN = "", "?"


@dataclass(frozen=True, slots=True)
class Found:
    """How many values of a column are under a key.

    Attributes:
        place: table and column, as ``event.data``.
        key: the key's name; ``PLAIN`` for values that are not encrypted, ``UNKNOWN`` for keys that are not there.
    """

    place: str
    key: str
    values: int


def census(database: Database, names: Sequence[str]) -> Iterator[Found]:
    """Count what is stored under each of these keys, column by column; each table is read whole."""
    for table in TABLES:
        for column, place in places_of(table).items():
            raw = _raw(table, column)
            under = sa.case(
                *((raw.startswith(_head(name)), sa.literal(name)) for name in names),
                (raw.startswith(MARK), sa.literal(UNKNOWN)),
                else_=sa.literal(PLAIN),
            ).label("key")
            query = sa.select(under, sa.func.count()).where(raw.is_not(None)).group_by(under)
            with database.autocommit() as connection:
                rows = connection.execute(query).all()
            yield from (Found(place, name, number) for name, number in sorted(rows))


def left(database: Database, to: str | None) -> int:
    """Count the rows that have a value which is not under this key; ``None``: which is under any."""
    total = 0
    with database.autocommit() as connection:
        for table in TABLES:
            query = sa.select(sa.func.count()).select_from(table).where(_elsewhere(table, to))
            total += int(connection.execute(query).scalar_one())
    return total


def reseal(database: Database, keyring: Keyring, to: str | None, batch: int) -> Iterator[int]:
    """Bring all values under a key, and give after each transaction how many rows it has looked at.

    Args:
        keyring: has the keys that values are under now.
        to: the name of the key that it encrypts with; ``None``: nothing is to be encrypted.
        batch: the most rows of one transaction.

    Raises:
        KeyringError: a value cannot be read. What was done before stays.
    """
    for table in TABLES:
        last: Sequence[Any] | None = None
        while True:
            last, number = _batch(database, keyring, table, to, batch, last)
            if number:
                yield number
            if last is None:
                break


@retried
def _batch(
    database: Database, keyring: Keyring, table: sa.Table, to: str | None, batch: int, last: Sequence[Any] | None
) -> tuple[Sequence[Any] | None, int]:
    """Do some rows behind the last one; give the last of these, if there may be more."""
    key, places = list(table.primary_key.columns), places_of(table)
    raw = {column: _raw(table, column) for column in places}
    query = sa.select(*key, *(value.label(column) for column, value in raw.items())).where(_elsewhere(table, to))
    if last is not None:
        query = query.where(sa.tuple_(*key) > sa.tuple_(*(sa.literal(value) for value in last)))
    with database.transaction() as connection:
        rows = connection.execute(query.order_by(*key).limit(batch)).all()
        changes = defaultdict[tuple[str, ...], list[dict[str, Any]]](list)
        for row in rows:
            found = {column: row._mapping[column] for column in places if row._mapping[column] is not None}
            change = {f"key_{column.name}": value for column, value in zip(key, row, strict=False)}
            for column, value in found.items():
                change[f"was_{column}"], change[f"new_{column}"] = value, _turned(keyring, value, places[column], to)
            changes[tuple(found)].append(change)
        for columns, several in changes.items():
            connection.execute(_change(table, columns), several)
        crash_point("reseal_before_commit")
    crash_point("reseal_after_commit")
    return (tuple(rows[-1][: len(key)]) if len(rows) == batch else None), len(rows)


def _change(table: sa.Table, columns: Sequence[str]) -> sa.Update:
    """Make the statement that gives columns of a row other values, unless somebody else has."""
    same = [column == sa.bindparam(f"key_{column.name}") for column in table.primary_key.columns]
    unchanged = [_raw(table, column) == sa.bindparam(f"was_{column}", type_=Json) for column in columns]
    new = {column: sa.bindparam(f"new_{column}", type_=Json) for column in columns}
    return sa.update(table).where(*same, *unchanged).values(new)


def _turned(keyring: Keyring, value: str, place: str, to: str | None) -> str:
    text = open_value(keyring, value, place)
    return text if to is None else keyring.seal(text, place)


def _elsewhere(table: sa.Table, to: str | None) -> sa.ColumnElement[bool]:
    """Tell the rows that have a value which is not as it should be."""
    head = MARK if to is None else _head(to)
    return sa.or_(
        *(
            sa.and_(raw.is_not(None), raw.startswith(head) if to is None else sa.not_(raw.startswith(head)))
            for raw in (_raw(table, column) for column in places_of(table))
        )
    )


def _raw(table: sa.Table, column: str) -> sa.ColumnElement[Any]:
    """Give a column as it is stored."""
    return sa.type_coerce(table.c[column], Json)


def _head(name: str) -> str:
    # The names of keys have no character that LIKE would read in another way.
    return f"{MARK}{name}:"
