"""Pages of runs, by any of their times. A page costs the same wherever it is: it begins behind the last one's end."""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.store import schema
from inngest_celery.store.rows import Run, RunStatus

# So many events of a name are few enough to look for the runs of each.
_FEW = 1000


class RunTime(enum.Enum):
    """Which time of a run counts. When it was queued is in its id, by which runs are indexed."""

    QUEUED_AT = "queued_at"
    STARTED_AT = "started_at"
    ENDED_AT = "ended_at"


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are wanted. Times are milliseconds; those of the end are left out themselves.

    Attributes:
        since, until: for the time that ``field`` names.
        statuses: only these; all, if empty.
        function_ids, ids: only these; all, if ``None``.
        event_names: only runs that events of these names started; of a batch the first one counts.
        before: only runs whose ids sort before this one.
    """

    since: int | None = None
    until: int | None = None
    field: RunTime = RunTime.QUEUED_AT
    statuses: Collection[RunStatus] = ()
    function_ids: Collection[str] | None = None
    event_names: Collection[str] = ()
    ids: Collection[str] | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """How runs are sorted, and behind which one a page begins.

    Attributes:
        after: the time and id of the last run of the page before.
    """

    field: RunTime = RunTime.QUEUED_AT
    descending: bool = True
    after: tuple[int, str] | None = None


def page(connection: sa.Connection, wanted: RunFilter, order: Order, limit: int) -> list[Run]:
    """Give runs, in order."""
    table = schema.run
    column = _column(order.field)
    if order.field is RunTime.QUEUED_AT and wanted.function_ids is not None and len(wanted.function_ids) == 1:
        # No other condition may say the same: see of_function.
        query = sa.select(table).where(of_function(connection, *wanted.function_ids))
        query, sorted_by = _filtered(connection, query, replace(wanted, function_ids=None)), BY_FUNCTION
    else:
        query = _filtered(connection, sa.select(table), wanted)
        sorted_by = [table.c.id] if order.field is RunTime.QUEUED_AT else [column, table.c.id]
    if order.field is not RunTime.QUEUED_AT:
        query = query.where(column.is_not(None))
    if order.after is not None:
        query = query.where(_behind(order))
    query = query.order_by(*(each.desc() if order.descending else each.asc() for each in sorted_by)).limit(limit)
    return [Run(**row._mapping) for row in connection.execute(query)]


# How the runs of one function are sorted by their ids, with :func:`of_function`.
BY_FUNCTION: list[sa.ColumnElement[Any]] = [schema.run.c.function_id, schema.run.c.id]


def of_function(connection: sa.Connection, function_id: str) -> sa.ColumnElement[bool]:
    """Give the condition for runs of one function that are sorted by ``BY_FUNCTION``, to be read by that index.

    To PostgreSQL, a condition like ``function_id = 'x'`` says that sorting by the function is of no use. It takes the
    index by id then where it expects many of the function's runs among the newest of all, and if that is wrong, looks
    at all runs that there are.
    """
    column = schema.run.c.function_id
    return column.in_([function_id] * 2) if connection.dialect.name == "postgresql" else column == function_id


def count(connection: sa.Connection, wanted: RunFilter) -> int:
    """Count runs. It looks at each of them."""
    query = _filtered(connection, sa.select(sa.func.count()).select_from(schema.run), wanted)
    return int(connection.execute(query).scalar_one())


def known(connection: sa.Connection, run_ids: Sequence[str]) -> set[str]:
    """Give those of these ids that runs have."""
    return set(connection.execute(sa.select(schema.run.c.id).where(schema.run.c.id.in_(run_ids))).scalars())


def position(run: Run, field: RunTime) -> tuple[int, str]:
    """Give what a page begins behind if this run is the last one of the page before."""
    times = {RunTime.QUEUED_AT: run.created_at, RunTime.STARTED_AT: run.started_at, RunTime.ENDED_AT: run.ended_at}
    return times[field] or 0, run.id


def starters(connection: sa.Connection, run_ids: Sequence[str]) -> dict[str, list[str]]:
    """Give the ids of the events that were collected for each of these runs, if any were."""
    table = schema.run_event
    query = sa.select(table.c.run_id, table.c.event_id).where(table.c.run_id.in_(run_ids)).order_by(table.c.event_id)
    found: dict[str, list[str]] = {}
    for run_id, event_id in connection.execute(query):
        found.setdefault(run_id, []).append(event_id)
    return found


def _column(field: RunTime) -> sa.ColumnElement[int | None]:
    return {
        RunTime.QUEUED_AT: schema.run.c.created_at,
        RunTime.STARTED_AT: schema.run.c.started_at,
        RunTime.ENDED_AT: schema.run.c.ended_at,
    }[field]


def _behind(order: Order) -> sa.ColumnElement[bool]:
    assert order.after is not None
    at, run_id = order.after
    identity, column = schema.run.c.id, _column(order.field)
    if order.field is RunTime.QUEUED_AT:
        return identity < run_id if order.descending else identity > run_id
    # The first condition says nothing new, but is one that an index serves.
    if order.descending:
        return sa.and_(column <= at, sa.or_(column < at, identity < run_id))
    return sa.and_(column >= at, sa.or_(column > at, identity > run_id))


def _started_by(connection: sa.Connection, names: Sequence[str]) -> sa.ColumnElement[bool]:
    """Choose the runs that events of these names started.

    Where there are few such events, their runs are found by an index, wherever they are. Where there are many, a page
    is full soon, and it is cheaper to ask for the event of run after run. A database that is given a join finds out
    only in some cases, and else sorts all of it.
    """
    event, run = schema.event, schema.run
    few = sa.select(event.c.id).where(event.c.name.in_(names)).limit(_FEW + 1)
    found = connection.execute(few).scalars().all()
    if len(found) <= _FEW:
        return run.c.event_id.in_(found)
    return sa.select(event.c.name).where(event.c.id == run.c.event_id).scalar_subquery().in_(names)


def _filtered(connection: sa.Connection, query: sa.Select[Any], wanted: RunFilter) -> sa.Select[Any]:
    table = schema.run
    # The ids of a time begin with it, and by them there is an index.
    by_id = wanted.field is RunTime.QUEUED_AT
    if wanted.since is not None:
        since = max(wanted.since, 0)
        query = query.where(table.c.id >= ids.first_of(since) if by_id else _column(wanted.field) >= since)
    if wanted.until is not None:
        until = max(wanted.until, 0)
        query = query.where(table.c.id < ids.first_of(until) if by_id else _column(wanted.field) < until)
    if wanted.statuses:
        query = query.where(table.c.status.in_([status.value for status in wanted.statuses]))
    if wanted.function_ids is not None:
        query = query.where(table.c.function_id.in_(sorted(wanted.function_ids)))
    if wanted.event_names:
        query = query.where(_started_by(connection, sorted(wanted.event_names)))
    if wanted.ids is not None:
        query = query.where(table.c.id.in_(sorted(wanted.ids)))
    if wanted.before is not None:
        query = query.where(table.c.id < wanted.before)
    return query
