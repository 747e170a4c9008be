"""How far something has gone through a table, kept over restarts: what it has passed it does not look at again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.inserts import insert_new


@dataclass(frozen=True, slots=True)
class Walk:
    """One. Times are milliseconds.

    Attributes:
        name: whose it is.
        rules: a hash of what it goes by.
        at, position: the time and id of the last row that it has looked at.
        began_at: when it was at the table's beginning.
        arrived_at: when it last found nothing more to look at; ``None`` if it has not since it began.
        removed: how many rows it has deleted since it exists.
    """

    name: str
    rules: str
    at: int
    position: str
    began_at: int
    arrived_at: int | None
    removed: int


def of(connection: sa.Connection, name: str, rules: str, now: int) -> Walk:
    """Give a walk; it begins anew if it goes by other rules than before."""
    table = schema.walk
    found = _get(connection, name)
    if found is None:
        fresh = {"name": name, "rules": rules, "at": -1, "position": "", "began_at": now, "removed": 0}
        insert_new(connection, table, [fresh])
    elif found.rules != rules:
        anew = sa.update(table).where(table.c.name == name, table.c.rules == found.rules)
        connection.execute(anew.values(rules=rules, at=-1, position="", began_at=now, arrived_at=None))
    else:
        return found
    found = _get(connection, name)
    assert found is not None, "nothing deletes walks"
    return found


def _get(connection: sa.Connection, name: str) -> Walk | None:
    row = connection.execute(sa.select(schema.walk).where(schema.walk.c.name == name)).first()
    return Walk(**row._mapping) if row else None


def all_of(connection: sa.Connection) -> list[Walk]:
    """Give all walks, by name."""
    return [Walk(**row._mapping) for row in connection.execute(sa.select(schema.walk).order_by(schema.walk.c.name))]


def advance(
    connection: sa.Connection, walk: Walk, *, at: int, position: str, removed: int, arrived_at: int | None
) -> bool:
    """Go on to another row; false if somebody else has taken this walk further meanwhile."""
    table = schema.walk
    here = (table.c.name == walk.name, table.c.rules == walk.rules, table.c.at == walk.at)
    update = sa.update(table).where(*here, table.c.position == walk.position)
    values = {"at": at, "position": position, "removed": table.c.removed + removed, "arrived_at": arrived_at}
    return connection.execute(update.values(values)).rowcount == 1


def begin_anew(connection: sa.Connection, names: Collection[str], now: int) -> None:
    """Let walks begin at the beginning of their tables."""
    table = schema.walk
    update = sa.update(table).values(at=-1, position="", began_at=now, arrived_at=None)
    connection.execute(update.where(table.c.name.in_(names)))
