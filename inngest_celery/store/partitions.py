"""PostgreSQL only, for those who ask for it: the tables that grow, in partitions by time. What is there, and upkeep.

All ids are ULIDs, so the rows of a time are a range of ids. Every table is cut at the same places. ``inngest_run`` is
not cut: its unique keys know no time.

Whoever changes something takes the tables alone, for milliseconds, and waits for them a tenth of a second at most, with
all others behind: then somebody may be waiting for what we have, as transactions take tables in any order. It is tried
again. The server looks for deadlocks much later, so it never ends somebody else's transaction because of one.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from inngest_celery import ids
from inngest_celery.crash import crash_point
from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.store.migrate import LOCK

T = TypeVar("T")
# In the order in which a checkpoint writes to them.
KEYS: tuple[sa.Column[str], ...] = (
    schema.step.c.run_id,
    schema.attempt.c.run_id,
    schema.run_event.c.run_id,
    schema.event.c.id,
)
TABLES = [column.table.name for column in KEYS]
WIDTHS = ("day", "week", "month")
# So many periods have their partitions before they begin.
AHEAD = 3
# The last part of partitions' names: of the first one, and of the one for what is in no period.
FIRST, REST = "first", "rest"
# The last part of the name of a check that a table has while it is being converted.
CHECK = "_in_first"
_WIDTH = re.compile(rf"_({'|'.join(WIDTHS)})_{REST}$")
_BOUNDS = re.compile(r"FROM \((?:'(\w+)'|MINVALUE)\) TO \('(\w+)'\)")
_BUSY = "55P03"
_TRIES, _PAUSE_S, _WAIT_MS = 10, 1.0, 100


class PartitionError(RuntimeError):
    """The tables cannot be partitioned, or partitions not be made. ``code`` is stable; the message says what to do.

    The codes: ``partition_unsupported``, ``partition_width_other``, ``partition_collation``, ``partition_ids_late``,
    ``partition_tables_changed``, ``partition_tables_busy``, ``partition_going_on``, ``partitions_not_owned``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Period:
    """A part of all tables: the rows whose ids begin at ``first`` and end before ``end``.

    Attributes:
        first: empty for all that is before ``end``.
        of: each table's partition, by the table's name; quoted, with its schema.
    """

    first: str
    end: str
    of: dict[str, str]

    @property
    def name(self) -> str:
        """When it ends, as a date."""
        return datetime.fromtimestamp(self.end_ms / 1000, UTC).strftime("%Y-%m-%d")

    @property
    def end_ms(self) -> int:
        """When it ends, in milliseconds."""
        return ids.time_of(self.end)

    def has(self, row_id: str) -> bool:
        """Tell whether an id is in it."""
        return self.first <= row_id < self.end

    def within(self, column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """The same for a column of ids."""
        return sa.and_(column >= self.first, column < self.end)


@dataclass(frozen=True, slots=True)
class Partitions:
    """What there is.

    Attributes:
        width: how long a period is; ``None``: the tables are not partitioned.
        periods: the oldest first.
        rest: each table's partition for what is in no period, by the table's name.
        owned: whether the database's user may change the tables.
        unfinished: whether a conversion has left checks, which will refuse rows some day.
    """

    width: str | None = None
    periods: list[Period] = field(default_factory=list)
    rest: dict[str, str] = field(default_factory=dict)
    owned: bool = True
    unfinished: bool = False


_NAMES = ", ".join(f"to_regclass('{name}')" for name in TABLES)
OIDS = f"ANY (ARRAY[{_NAMES}]::oid[])"
_LOOK = sa.text(f"""
SELECT c.relkind = 'p' AS cut, pg_has_role(c.relowner, 'USAGE') AS owned,
  EXISTS (SELECT FROM pg_constraint x WHERE x.conrelid = c.oid AND x.conname = c.relname || '{CHECK}') AS unfinished
FROM pg_class c WHERE c.oid = {OIDS}
""")  # noqa: S608
_PARTITIONS = sa.text(f"""
SELECT parent.relname AS of, child.relname AS name, format('%I.%I', s.nspname, child.relname) AS quoted,
  pg_get_expr(child.relpartbound, child.oid) AS bounds
FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent JOIN pg_class child ON child.oid = i.inhrelid
JOIN pg_namespace s ON s.oid = child.relnamespace WHERE i.inhparent = {OIDS}
""")  # noqa: S608


def look(connection: sa.Connection) -> Partitions:
    """Say what there is: one statement where the tables are not partitioned, two where they are."""
    if connection.dialect.name != "postgresql":
        return Partitions()
    tables = connection.execute(_LOOK).all()
    owned, unfinished = all(row.owned for row in tables), any(row.unfinished for row in tables)
    if not tables or not all(row.cut for row in tables):
        return Partitions(owned=owned, unfinished=unfinished)
    width = ""
    rest: dict[str, str] = {}
    cut: dict[tuple[str, str], dict[str, str]] = {}
    for row in connection.execute(_PARTITIONS):
        if bounds := _BOUNDS.search(row.bounds):
            cut.setdefault((bounds[1] or "", bounds[2]), {})[row.of] = row.quoted
        elif named := _WIDTH.search(row.name):
            rest[row.of], width = row.quoted, named[1]
    # One that somebody has taken from a table by hand is a part of the others no more.
    periods = [Period(first, end, of) for (first, end), of in sorted(cut.items()) if len(of) == len(TABLES)]
    return Partitions(width or None, periods, rest, owned, unfinished)


def sizes(connection: sa.Connection, found: Partitions) -> dict[str, int]:
    """Give how many bytes each period has on the disk, by its end; under "" those of what is in no period."""
    query = sa.text(
        "SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0) FROM unnest(CAST(:names AS text[])) AS name"
    )
    parts = {period.end: period.of for period in found.periods} | {"": found.rest}
    return {end: int(connection.execute(query, {"names": [*of.values()]}).scalar_one()) for end, of in parts.items()}


def has_late(connection: sa.Connection, found: Partitions, now: int) -> bool:
    """Tell whether rows have come since the last period has ended."""
    end, until = found.periods[-1].end if found.periods else "", ids.first_of(now)
    return any(
        connection.execute(sa.select(sa.exists().where(column >= end, column < until))).scalar_one() for column in KEYS
    )


def alone(connection: sa.Connection) -> None:
    """Take the tables for this transaction alone.

    Raises:
        sqlalchemy.exc.DBAPIError: somebody has been using one for as long as this may wait; see :func:`is_busy`.
    """
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_WAIT_MS}")
    connection.exec_driver_sql(f"LOCK TABLE ONLY {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")


def only_one(connection: sa.Connection) -> bool:
    """Keep all others from changing tables until this transaction ends, migrations too; false if one does so now."""
    query = sa.text("SELECT pg_try_advisory_xact_lock(hashtext(:name))")
    return bool(connection.execute(query, {"name": LOCK}).scalar_one())


def is_busy(error: exc.DBAPIError) -> bool:
    """Tell whether an error says that a lock was not to be had in time."""
    return getattr(error.orig, "sqlstate", None) == _BUSY


def patiently(transaction: Callable[[], T], tries: int) -> T:
    """Do a transaction that takes the tables alone, again while they are busy.

    Raises:
        PartitionError: they have been busy each time (``partition_tables_busy``).
    """
    for _ in range(tries):
        try:
            return transaction()
        except exc.DBAPIError as error:
            if not is_busy(error):
                raise
            # Whoever waits for us meanwhile gets its turn.
            time.sleep(_PAUSE_S * random.uniform(0.5, 1.0))
    raise PartitionError(
        "partition_tables_busy",
        "Others have been using the tables all the time: a long transaction, a back-up, or vacuum at work. Look at "
        "pg_stat_activity, then try again.",
    )


def start_of(width: str, time_ms: int) -> datetime:
    """Give when the period begins in which a time is, in UTC."""
    day = datetime.fromtimestamp(time_ms / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if width == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if width == "week" else day


def next_of(width: str, start: datetime) -> datetime:
    """Give when the next period begins."""
    if width == "month":
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=7 if width == "week" else 1)


def id_at(time: datetime) -> str:
    """Give the id at which a period begins."""
    return ids.first_of(round(time.timestamp() * 1000))


def width_ms(width: str) -> int:
    """Give how long a period is at the most, in milliseconds."""
    return {"day": 1, "week": 7, "month": 31}[width] * 86_400_000


def missing(found: Partitions, now: int) -> list[tuple[datetime, datetime]]:
    """Give the periods that should have partitions by now, and have none."""
    assert found.width is not None, "only where there are partitions"
    start = datetime.fromtimestamp(found.periods[-1].end_ms / 1000, UTC)
    last = start_of(found.width, now)
    for _ in range(AHEAD):
        last = next_of(found.width, last)
    wanted = []
    while start <= last:
        end = next_of(found.width, start)
        wanted.append((start, end))
        start = end
    return wanted


def make_ahead(database: Database, now: int) -> int:
    """Make the partitions of the periods to come; give how many periods.

    What has come while they were missing is put where it belongs.

    Raises:
        PartitionError: the tables are busy, or somebody else's.
    """
    with database.autocommit() as connection:
        found = look(connection)
    if found.width is None or not missing(found, now):
        return 0
    if not found.owned:
        raise PartitionError(
            "partitions_not_owned",
            "The next partitions are missing, and this database user may not make them: it does not own the tables. "
            "Let their owner run `inngest-celery -A proj partition upkeep` by cron.",
        )
    return patiently(lambda: _make_missing(database, now), _TRIES)


def _make_missing(database: Database, now: int) -> int:
    with database.transaction() as connection:
        if not only_one(connection):
            return 0
        alone(connection)
        # Somebody else may have been quicker.
        found = look(connection)
        wanted = missing(found, now)
        for start, end in wanted:
            _make(connection, found, start, end)
        crash_point("partitions_before_commit")
        return len(wanted)


def _make(connection: sa.Connection, found: Partitions, start: datetime, end: datetime) -> None:
    for column in KEYS:
        table = column.table.name
        before, rest = found.periods[-1].of[table], found.rest[table]
        schema_name = before.rpartition(".")[0]
        name = f"{schema_name}.{table}_{found.width}_{start:%Y%m%d}"
        run = connection.exec_driver_sql
        run(f"CREATE TABLE {name} (LIKE {before} INCLUDING DEFAULTS INCLUDING STORAGE)")
        options = sa.text("SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = to_regclass(:name)")
        if given := connection.execute(options, {"name": before}).scalar_one():
            run(f"ALTER TABLE {name} SET ({given})")
        first, last = id_at(start), id_at(end)
        these = f"{column.name} >= '{first}' AND {column.name} < '{last}'"
        run(
            f"WITH late AS (DELETE FROM {rest} WHERE {these} RETURNING *) INSERT INTO {name} SELECT * FROM late"  # noqa: S608
        )
        run(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{last}')")


def analyse(database: Database) -> None:
    """Have the server look at the tables as wholes, as autovacuum does not. It takes a while; not for a worker."""
    with database.autocommit() as connection:
        for name in TABLES:
            connection.exec_driver_sql(f"ANALYZE {name}")
