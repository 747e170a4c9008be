"""Statements on events, and the route jobs that carry them to functions and waits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.store import schema, sent_by, subjects
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.rows import Event, Job, JobKind, values
from inngest_celery.trace_context import KEPT_AS

ROUTE_TASK = "inngest.route"
# How long the id that a sender gives stands for one event, and an idempotency key is taken.
IDEMPOTENCY_MS = 86_400_000
_PAGE = 500


def head_of(event: Event) -> dict[str, object]:
    """Give an event as it stands on the wire, without its data."""
    return {"name": event.name, "id": event.external_id, "ts": event.ts, "user": {}, **extra_of(event)}


def extra_of(event: Event) -> dict[str, Any]:
    """Give what an event's sender has said of it besides its name, id, time and data: ``user`` and ``v``."""
    extra: dict[str, Any] = json.loads(event.extra) if event.extra else {}
    for ours in (KEPT_AS, sent_by.KEPT_AS):
        extra.pop(ours, None)
    return extra


def as_json(event: Event, *, with_data: bool = True) -> str:
    """Give an event as JSON text, as it stands on the wire."""
    head = json.dumps(head_of(event))
    # The data is JSON text already, and may be megabytes: it is put in as it is.
    return f'{head[:-1]}, "data": {event.data}}}' if with_data else head


def route_job(event_id: str, *, now: int, due_at: int, sweep_at: int, queue: str) -> Job:
    """Make the job that routes one event."""
    return Job(
        subject_id=event_id,
        key="route",
        kind=JobKind.ROUTE,
        name="",
        function_id="",
        task_name=ROUTE_TASK,
        queue=queue,
        created_at=now,
        due_at=due_at,
        sweep_at=sweep_at,
    )


def insert(connection: sa.Connection, events: Sequence[Event]) -> None:
    """Store events. One that is stored already, under the same id, is left as it is: a send may be repeated."""
    if events:
        insert_new(connection, schema.event, [values(event) for event in events])
        subjects.note_events(connection, events)


def get(connection: sa.Connection, event_id: str) -> Event | None:
    row = connection.execute(sa.select(schema.event).where(schema.event.c.id == event_id)).first()
    return Event(**row._mapping) if row else None


def several(connection: sa.Connection, event_ids: Sequence[str]) -> list[Event]:
    """Give those of these events that are stored."""
    table = schema.event
    rows = connection.execute(sa.select(table).where(table.c.id.in_(event_ids)))
    return [Event(**row._mapping) for row in rows]


def page(
    connection: sa.Connection,
    *,
    limit: int,
    before: str | None = None,
    names: Sequence[str] | None = None,
    since: int | None = None,
    until: int | None = None,
    internal: bool = False,
) -> list[Event]:
    """Give events, the newest first.

    Args:
        before: only those that came before the one with this id.
        names: only these.
        since, until: when they were received, in milliseconds; both are left out themselves.
        internal: whether those count that are made here.
    """
    table = schema.event
    query = sa.select(table).order_by(table.c.received_at.desc(), table.c.id.desc()).limit(limit)
    if before is not None:
        # An id that its sender chose says nothing of when the event came.
        last = sa.select(table.c.received_at).where(table.c.id == before).scalar_subquery()
        behind = sa.or_(table.c.received_at < last, table.c.id < before)
        # One that is unknown stands for the instant in it.
        query = query.where(table.c.received_at <= sa.func.coalesce(last, ids.time_of(before)), behind)
    query = _matching(query, names, since, until, internal=internal)
    return [Event(**row._mapping) for row in connection.execute(query)]


def count(
    connection: sa.Connection,
    *,
    names: Sequence[str] | None = None,
    since: int | None = None,
    until: int | None = None,
    internal: bool = False,
) -> int:
    """Count events; see :func:`page`."""
    query = _matching(sa.select(sa.func.count()).select_from(schema.event), names, since, until, internal=internal)
    return int(connection.execute(query).scalar_one())


def _matching(
    query: sa.Select[Any], names: Sequence[str] | None, since: int | None, until: int | None, *, internal: bool
) -> sa.Select[Any]:
    table = schema.event
    if names:
        query = query.where(table.c.name.in_(names))
    elif not internal:
        query = query.where(table.c.name.not_like("inngest/%"))
    if since is not None:
        query = query.where(table.c.received_at > since)
    if until is not None:
        query = query.where(table.c.received_at < until)
    return query


def of_run(connection: sa.Connection, run_id: str) -> list[Event]:
    """Give the events that were collected for a run, in the order in which they were received."""
    return [Event(**row._mapping) for row in connection.execute(_starters(run_id))]


def first_starter(connection: sa.Connection, run_id: str) -> Event | None:
    """Give the first of the events that were collected for a run."""
    row = connection.execute(_starters(run_id).limit(1)).first()
    return Event(**row._mapping) if row else None


def _starters(run_id: str) -> sa.Select[tuple[object, ...]]:
    table, of = schema.event, schema.run_event
    query = sa.select(table).join_from(table, of, of.c.event_id == table.c.id).where(of.c.run_id == run_id)
    # By the column that the primary key has them in: large rows are not to be sorted.
    return query.order_by(of.c.event_id)


def has_starter(connection: sa.Connection, run_id: str, event: Event) -> bool:
    """Tell whether an event was collected for a run before, under the id that its sender gave it."""
    if event.external_id == event.id:
        return False
    same = _starters(run_id).where(schema.event.c.external_id == event.external_id).order_by(None)
    return connection.execute(same.limit(1)).first() is not None


def runs_of(connection: sa.Connection, event_id: str) -> list[str]:
    """Give the runs, started or still to be, that are for several events, this one among them."""
    table = schema.run_event
    return list(connection.execute(sa.select(table.c.run_id).where(table.c.event_id == event_id)).scalars())


def add_starter(connection: sa.Connection, run_id: str, event_id: str) -> None:
    """Note that a run is, or will be, for this event too."""
    insert_new(connection, schema.run_event, [{"run_id": run_id, "event_id": event_id}])


def move_starters(connection: sa.Connection, run_id: str, to: str) -> None:
    """Let the events of a run that was to be be those of another one."""
    table = schema.run_event
    connection.execute(sa.update(table).where(table.c.run_id == run_id).values(run_id=to))


def forget_starters(connection: sa.Connection, run_id: str) -> None:
    """Forget the events of a run that is not to be."""
    connection.execute(sa.delete(schema.run_event).where(schema.run_event.c.run_id == run_id))


def known(connection: sa.Connection, ids: Sequence[str]) -> set[str]:
    """Give those of these ids that are stored."""
    table = schema.event
    return set(connection.execute(sa.select(table.c.id).where(table.c.id.in_(ids))).scalars())


def received_since(connection: sa.Connection, names: Iterable[str], since: int) -> Iterator[Event]:
    """Give the events of these names that were received at or after a time, oldest first.

    They are read a page at a time: after an outage there may be many, and whoever has found theirs reads no further.
    """
    table = schema.event
    query = sa.select(table).where(table.c.name.in_(sorted(names)))
    query = query.order_by(table.c.received_at, table.c.id).limit(_PAGE)
    behind: sa.ColumnElement[bool] = table.c.received_at >= since
    while True:
        page = [Event(**row._mapping) for row in connection.execute(query.where(behind))]
        yield from page
        if len(page) < _PAGE:
            return
        at, last = page[-1].received_at, page[-1].id
        behind = sa.and_(table.c.received_at >= at, sa.or_(table.c.received_at > at, table.c.id > last))


def lifecycle_patterns(name: str) -> list[str]:
    """Give the trigger names that match a lifecycle event."""
    return [name, "inngest/*", "inngest/function.*"]


def listened_to(connection: sa.Connection, name: str) -> bool:
    """Tell whether a function is triggered by this lifecycle event, or any run has ever waited for it."""
    trigger, function, topic = schema.trigger, schema.function, schema.topic
    triggered = (
        sa.select(sa.literal(1))
        .join_from(trigger, function, function.c.id == trigger.c.function_id)
        .where(trigger.c.event_name.in_(lifecycle_patterns(name)), function.c.archived_at.is_(None))
    )
    awaited = sa.select(sa.literal(1)).where(topic.c.event_name == name)
    return bool(connection.execute(sa.select(sa.or_(triggered.exists(), awaited.exists()))).scalar_one())
