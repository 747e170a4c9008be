"""Dropping a period of partitioned tables with its runs, but for the few rows of it that stay.

All of it belongs into one transaction: first what decides, and the runs' own rows, by a few statements over ranges of
ids; the tables are taken alone only at the end, where partitions change and the rows that stay are put elsewhere.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql

from inngest_celery.store import partitions, removing, schema
from inngest_celery.store.partitions import KEYS, Period
from inngest_celery.store.removing import Counts
from inngest_celery.store.rows import JobKind

# So many rows may stay of a period that goes: they are copied while nobody else can use the tables.
MOST = 5000
_MOST_ROWS = 4 * MOST
_TRIES, _PAUSE_S = 15, 0.2


class TooMany(Exception):
    """More of it stays than may be copied."""


def _any(values: Collection[str]) -> sa.Select[str]:
    """Give values as a query that the server makes a hash table of, however many there are."""
    array: sa.Cast[Sequence[str]] = sa.cast(list(values), postgresql.ARRAY(sa.Text))
    return sa.select(sa.func.unnest(array))


def _few(connection: sa.Connection, query: sa.Select[str] | sa.CompoundSelect[str]) -> set[str]:
    found = set(connection.execute(query.limit(MOST + 1)).scalars())
    if len(found) > MOST:
        raise TooMany
    return found


def elsewhere(connection: sa.Connection, period: Period) -> set[str]:
    """Give the events of other periods that have started its runs."""
    run, together = schema.run, schema.run_event
    alone = sa.select(run.c.event_id).where(period.within(run.c.id), ~period.within(run.c.event_id))
    joined = sa.select(together.c.event_id).where(period.within(together.c.run_id), ~period.within(together.c.event_id))
    return _few(connection, sa.union(alone, joined))


def to_be(connection: sa.Connection, period: Period) -> set[str]:
    """Give the runs that events of it are collected for, and that there are not yet."""
    run, together = schema.run, schema.run_event
    there = sa.exists().where(run.c.id == together.c.run_id)
    return _few(connection, sa.select(together.c.run_id).distinct().where(period.within(together.c.run_id), ~there))


def lone_events(connection: sa.Connection, period: Period, names: Collection[str]) -> set[str]:
    """Give its events of these names that have started nothing."""
    return _few(connection, sa.select(schema.event.c.id).where(*_lone(period, names)))


def count_lone(connection: sa.Connection, period: Period, names: Collection[str]) -> int:
    """Count them."""
    query = sa.select(sa.func.count()).select_from(schema.event).where(*_lone(period, names))
    return connection.execute(query).scalar_one()


def _lone(period: Period, names: Collection[str]) -> tuple[sa.ColumnElement[bool], ...]:
    event, run, together = schema.event, schema.run, schema.run_event
    started = (sa.exists().where(run.c.event_id == event.c.id), sa.exists().where(together.c.event_id == event.c.id))
    return (period.within(event.c.id), event.c.name.in_(sorted(names)), *(~each for each in started))


def count_needed(connection: sa.Connection, period: Period) -> int:
    """Count the runs of later periods that its events have started."""
    run = schema.run
    query = sa.select(sa.func.count()).where(period.within(run.c.event_id), run.c.id >= period.end)
    return connection.execute(query).scalar_one()


_GONE = """
WITH gone AS (
  DELETE FROM inngest_run WHERE id >= :first AND id < :end AND status = ANY(:ended) AND ended_at <= :until
  AND id NOT IN (SELECT unnest(CAST(:staying AS text[])))
  AND NOT EXISTS (
    SELECT FROM inngest_job WHERE subject_id = inngest_run.id AND subject_id >= :first AND subject_id < :end
  )
  RETURNING id
), costs AS (
  DELETE FROM inngest_cost USING gone WHERE run_id = gone.id AND run_id >= :first AND run_id < :end RETURNING 1
), waits AS (
  DELETE FROM inngest_wait USING gone WHERE run_id = gone.id AND run_id >= :first AND run_id < :end RETURNING 1
), subjects AS (
  DELETE FROM inngest_subject USING gone WHERE subject_id = gone.id AND subject_id >= :first AND subject_id < :end
  RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS inngest_run, (SELECT count(*) FROM costs) AS inngest_cost,
  (SELECT count(*) FROM waits) AS inngest_wait, (SELECT count(*) FROM subjects) AS inngest_subject
"""


def runs(connection: sa.Connection, period: Period, staying: Collection[str], until: int) -> Counts:
    """Delete its runs that had ended by then, with what is theirs in tables that are not partitioned.

    Args:
        staying: runs that are to stay.
        until: milliseconds; what has become a run of it since somebody looked has not ended by then.
    """
    values = {"first": period.first, "end": period.end, "ended": removing.ENDED, "until": until}
    found = connection.execute(sa.text(_GONE), values | {"staying": list(staying)}).one()
    return dict(found._mapping)


def needed_events(
    connection: sa.Connection, period: Period, to_be: Collection[str], kept: Mapping[str, int], since: int
) -> set[str]:
    """Give its events that have to stay once the runs are gone that go.

    Args:
        to_be: runs that are to be.
        kept: names of events, and since when those have come that their rules keep.
        since: all that have come since stay.
    """
    event, run, together, job = schema.event, schema.run, schema.run_event, schema.job
    # Its runs that are gone have theirs still, which will go with the partition.
    there = sa.or_(~period.within(together.c.run_id), sa.exists().where(run.c.id == together.c.run_id))
    of_rules = [sa.and_(event.c.name == name, event.c.received_at > at) for name, at in kept.items()]
    debounced = sa.select(job.c.opts).where(job.c.kind == JobKind.DEBOUNCE.value)
    noted = {json.loads(text).get("event") for text in connection.execute(debounced).scalars() if text}
    found = _few(
        connection,
        sa.union(
            sa.select(run.c.event_id).where(period.within(run.c.event_id)),
            sa.select(together.c.event_id).where(
                period.within(together.c.event_id), sa.or_(together.c.run_id.in_(_any(to_be)), there)
            ),
            sa.select(job.c.subject_id).where(period.within(job.c.subject_id)),
            sa.select(event.c.id).where(period.within(event.c.id), sa.or_(event.c.received_at > since, *of_rules)),
        ),
    )
    return found | {each for each in noted if each and period.has(each)}


def subjects_of_events(connection: sa.Connection, period: Period, staying: Collection[str], since: int) -> int:
    """Delete whose data the events are that go."""
    event, subject = schema.event, schema.subject
    going = sa.exists().where(
        event.c.id == subject.c.subject_id, period.within(event.c.id), event.c.received_at <= since
    )
    delete = sa.delete(subject).where(period.within(subject.c.subject_id), going)
    return connection.execute(delete.where(subject.c.subject_id.not_in(_any(staying)))).rowcount


def count(connection: sa.Connection, period: Period) -> Counts:
    """Count its rows."""
    return {
        table: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()  # noqa: S608
        for table, name in period.of.items()
    }


def require_few_steps(connection: sa.Connection, period: Period) -> None:
    """See to it that the runs that stay have not too many rows.

    Raises:
        TooMany: they have.
    """
    run = schema.run
    left = sa.select(run.c.id).where(period.within(run.c.id))
    for column in KEYS[:-1]:
        rows = sa.select(column).where(column.in_(left)).limit(_MOST_ROWS + 1).subquery()
        if connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one() > _MOST_ROWS:
            raise TooMany


def free(connection: sa.Connection, names: Sequence[str]) -> None:
    """Take the tables alone, and these partitions: those that go, and those where what stays is put.

    Raises:
        sqlalchemy.exc.DBAPIError: they are busy; see :func:`partitions.is_busy`.
    """
    for attempt in range(_TRIES):
        try:
            with connection.begin_nested():
                # Who has a partition has its table too, but for vacuum: for that, nobody is to wait.
                partitions.alone(connection)
                connection.exec_driver_sql(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE NOWAIT")
        except exc.DBAPIError as error:
            if not partitions.is_busy(error) or attempt == _TRIES - 1:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def drop(
    connection: sa.Connection, period: Period, events: Collection[str], to_be: Collection[str], since: int
) -> Counts:
    """Drop its partitions; what stays goes to where the rows of no period are. Give how many rows stay, by table.

    Args:
        events: those that stay, but for any that have come since.
        to_be: runs that are to be.
    """
    run = schema.run
    # By now nobody can add to these.
    left = set(connection.execute(sa.select(run.c.id).where(period.within(run.c.id))).scalars()) | set(to_be)
    stayed: Counts = {}
    for column in KEYS:
        table, name = column.table, period.of[column.table.name]
        connection.exec_driver_sql(f"ALTER TABLE {table.name} DETACH PARTITION {name}")
        is_events = table is schema.event
        stayed[table.name] = _copy(connection, column, name, "= ANY(:which)", sorted(events if is_events else left))
        if is_events:
            stayed[table.name] += _copy(connection, schema.event.c.received_at, name, "> :which", since)
        connection.exec_driver_sql(f"DROP TABLE {name}")
    return stayed


def _copy(connection: sa.Connection, column: sa.Column[Any], name: str, these: str, which: object) -> int:
    """Copy rows from what was a partition, found by an index, unless they are there already."""
    columns = ", ".join(each.name for each in column.table.columns)
    query = f"SELECT {columns} FROM {name} WHERE {column.name} {these}"  # noqa: S608
    insert = sa.text(f"INSERT INTO {column.table.name} ({columns}) {query} ON CONFLICT DO NOTHING")
    return connection.execute(insert, {"which": which}).rowcount
