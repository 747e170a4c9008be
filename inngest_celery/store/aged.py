"""Ended runs and events by their age, the oldest first, page by page: what may have been kept long enough."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.partitions import Period
from inngest_celery.store.rows import RunStatus
from inngest_celery.store.walks import Walk

# What ends so long after its period has ended is late.
_LATE_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Aged:
    """A run or event. Times are milliseconds.

    Attributes:
        at: when the run ended, or the event was received.
        event_name: its own, or that of the event which has started the run; ``None`` if it was not asked for.
        function_id, status: of a run.
    """

    id: str
    at: int
    event_name: str | None
    function_id: str = ""
    status: RunStatus = RunStatus.COMPLETED


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one function, status and event's name; or events of one name, without the other two."""

    function_id: str
    status: RunStatus
    event_name: str | None
    runs: int
    steps: int
    events: int
    oldest: int


@dataclass(frozen=True, slots=True)
class Alike:
    """Runs of one function, status and event's name; or events of one name.

    Attributes:
        last: when the last of the runs ended, or the last event came, in milliseconds; 0 if none has.
        late: how many did so only long after their period had ended.
        last_in_time: when the last of the others did.
    """

    function_id: str
    status: RunStatus
    event_name: str | None
    number: int
    last: int
    late: int
    last_in_time: int


def ended_runs(connection: sa.Connection, behind: Walk, until: int, limit: int, *, with_names: bool) -> list[Aged]:
    """Give runs that ended at the latest then, behind the last one that a walk has looked at."""
    run = schema.run
    query = sa.select(run.c.id, run.c.ended_at, run.c.function_id, run.c.status, _name_of_run(with_names))
    query = query.where(*_behind(run.c.ended_at, run.c.id, behind), run.c.ended_at <= until)
    found = connection.execute(query.order_by(run.c.ended_at, run.c.id).limit(limit))
    return [Aged(row.id, row.ended_at, row.name, row.function_id, RunStatus(row.status)) for row in found]


def _name_of_run(wanted: bool) -> sa.Label[Any]:
    run, event = schema.run, schema.event
    if not wanted:
        return sa.null().label("name")
    # An outer join would be the same; asked for run by run, no database sorts or hashes a table for it.
    return sa.select(event.c.name).where(event.c.id == run.c.event_id).scalar_subquery().label("name")


def runs_by_id(connection: sa.Connection, period: Period, behind: str, limit: int, *, with_names: bool) -> list[Aged]:
    """Give runs of a period, those that have not ended with the time 0, in the order of their ids."""
    run = schema.run
    query = sa.select(run.c.id, run.c.ended_at, run.c.function_id, run.c.status, _name_of_run(with_names))
    found = connection.execute(query.where(period.within(run.c.id), run.c.id > behind).order_by(run.c.id).limit(limit))
    return [Aged(row.id, row.ended_at or 0, row.name, row.function_id, RunStatus(row.status)) for row in found]


def runs_of(connection: sa.Connection, period: Period, *, with_names: bool) -> list[Alike]:
    """Count the runs of a period, by what rules go by. It looks at each of them."""
    run = schema.run
    query = sa.select(run.c.function_id, run.c.status, run.c.ended_at, _name_of_run(with_names))
    each = query.where(period.within(run.c.id)).subquery().c
    alike = (each.function_id, each.status, each.name)
    found: list[Any] = [*connection.execute(sa.select(*alike, *_spread(each.ended_at, period)).group_by(*alike))]
    return [Alike(row[0], RunStatus(row[1]), *row[2:]) for row in found]


def events_of(connection: sa.Connection, period: Period) -> list[Alike]:
    """Count the events of a period, by name. It looks at each of them."""
    event = schema.event
    query = sa.select(event.c.name, *_spread(event.c.received_at, period))
    found = connection.execute(query.where(period.within(event.c.id)).group_by(event.c.name))
    return [Alike("", RunStatus.COMPLETED, *row) for row in found]


def _spread(at: sa.ColumnElement[Any], period: Period) -> tuple[sa.ColumnElement[Any], ...]:
    """Give how many rows there are, and the times that :class:`Alike` has of them."""
    last, in_time = sa.func.max(at), at <= period.end_ms + _LATE_MS
    late = sa.func.count().filter(~in_time)
    return sa.func.count(), sa.func.coalesce(last, 0), late, sa.func.coalesce(last.filter(in_time), 0)


def with_jobs(connection: sa.Connection, first: str, last: str) -> set[str]:
    """Give the runs, among others, from one id to another that have a job."""
    job = schema.job
    query = sa.select(job.c.subject_id).where(job.c.subject_id >= first, job.c.subject_id <= last)
    return set(connection.execute(query).scalars())


def events(connection: sa.Connection, behind: Walk, until: int, limit: int) -> list[Aged]:
    """Give events that were received at the latest then, behind the last one that a walk has looked at."""
    event = schema.event
    query = sa.select(event.c.id, event.c.received_at, event.c.name)
    query = query.where(*_behind(event.c.received_at, event.c.id, behind), event.c.received_at <= until)
    found = connection.execute(query.order_by(event.c.received_at, event.c.id).limit(limit))
    return [Aged(row.id, row.received_at, row.name) for row in found]


def _behind(
    time: sa.ColumnElement[Any], identity: sa.ColumnElement[str], behind: Walk
) -> tuple[sa.ColumnElement[bool], ...]:
    # The first condition says nothing new, but is one that an index serves.
    return time >= behind.at, sa.or_(time > behind.at, identity > behind.position)


def counted_runs(connection: sa.Connection, until: int, *, with_names: bool) -> list[Group]:
    """Count the runs that ended at the latest then, by what rules go by. It looks at each of them."""
    run, event, step = schema.run, schema.event, schema.step
    name = event.c.name if with_names else sa.null()
    alike = [run.c.function_id, run.c.status, *([event.c.name] if with_names else [])]
    steps = sa.select(sa.func.count()).where(step.c.run_id == run.c.id).correlate(run).scalar_subquery()
    query = sa.select(
        run.c.function_id,
        run.c.status,
        name.label("name"),
        sa.func.count().label("runs"),
        sa.func.sum(steps).label("steps"),
        sa.func.count(run.c.event_id.distinct()).label("events"),
        sa.func.min(run.c.ended_at).label("oldest"),
    )
    if with_names:
        query = query.select_from(run.outerjoin(event, event.c.id == run.c.event_id))
    found = connection.execute(query.where(run.c.ended_at <= until).group_by(*alike))
    return [
        Group(row.function_id, RunStatus(row.status), row.name, row.runs, int(row.steps), row.events, row.oldest)
        for row in found
    ]


def counted_events(connection: sa.Connection, until: int) -> list[Group]:
    """Count the events that were received at the latest then and have started nothing that is there, by name."""
    event, run, together = schema.event, schema.run, schema.run_event
    started = (sa.exists().where(run.c.event_id == event.c.id), sa.exists().where(together.c.event_id == event.c.id))
    query = sa.select(event.c.name, sa.func.count().label("events"), sa.func.min(event.c.received_at).label("oldest"))
    query = query.where(event.c.received_at <= until, *(~each for each in started)).group_by(event.c.name)
    return [Group("", RunStatus.COMPLETED, row.name, 0, 0, row.events, row.oldest) for row in connection.execute(query)]


def put_off(connection: sa.Connection, subject_ids: Collection[str], kind: str) -> list[str]:
    """Give what the jobs of a kind and of these subjects note, as JSON texts."""
    job = schema.job
    query = sa.select(job.c.opts).where(job.c.subject_id.in_(subject_ids), job.c.kind == kind)
    return [text for text in connection.execute(query).scalars() if text]
