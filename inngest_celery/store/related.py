"""What has come of what: an event's runs, a run's events, all by indexes, for so many at a time.

Events that a run makes have ids that are derived from the run's: so they are found without being looked for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.opcodes import Opcode
from inngest_celery.store import defers, events, removing, schema
from inngest_celery.store.rows import JobKind, RunStatus

# A step sends its events while it runs; clocks may differ by so much.
_MARGIN_MS = 60_000
_PAGE = 500


@dataclass(slots=True)
class OfEvents:
    """What events have started.

    Attributes:
        runs: those that there are.
        pending: events that are still to be routed, or are collected for a run to be.
    """

    runs: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)


def of_events(connection: sa.Connection, event_ids: Sequence[str]) -> OfEvents:
    """Give what some events have started, or will."""
    run, together, job = schema.run, schema.run_event, schema.job
    found = OfEvents(set(connection.execute(sa.select(run.c.id).where(run.c.event_id.in_(event_ids))).scalars()))
    joined = sa.select(together.c.event_id, together.c.run_id, run.c.id).outerjoin(run, run.c.id == together.c.run_id)
    for event_id, _, run_id in connection.execute(joined.where(together.c.event_id.in_(event_ids))):
        if run_id is None:
            found.pending.add(event_id)
        else:
            found.runs.add(run_id)
    routed = sa.select(job.c.subject_id).where(job.c.subject_id.in_(event_ids), job.c.kind == JobKind.ROUTE.value)
    found.pending.update(connection.execute(routed).scalars())
    return found


@dataclass(slots=True)
class OfRuns:
    """What runs have made.

    Attributes:
        events: those that they sent, called others with, and that tell of them.
        repeated: the runs that repeat them.
        parents: the steps of other runs that have waited for them, as run and step.
        live: those of them that have not ended.
    """

    events: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)
    parents: set[tuple[str, str]] = field(default_factory=set)
    live: set[str] = field(default_factory=set)


def of_runs(connection: sa.Connection, run_ids: Sequence[str]) -> OfRuns:
    """Give what some runs have made."""
    run = schema.run
    found = OfRuns()
    columns = (run.c.id, run.c.status, run.c.event_id, run.c.ended_at, run.c.parent_run_id, run.c.parent_step_id)
    rows = connection.execute(sa.select(*columns).where(run.c.id.in_(run_ids))).all()
    for row in rows:
        if not RunStatus(row.status).ended:
            found.live.add(row.id)
        if row.parent_run_id and row.parent_step_id:
            found.parents.add((row.parent_run_id, row.parent_step_id))
    again = sa.select(run.c.id).where(
        run.c.event_id.in_([row.event_id for row in rows]), run.c.original_run_id.in_(run_ids)
    )
    found.repeated.update(connection.execute(again).scalars())
    made = {event_id for run_id in run_ids for event_id in removing.told_of(run_id)}
    made |= _called(connection, run_ids)
    sent, when = _sent(connection, run_ids)
    found.events = events.known(connection, sorted(made | sent)) | _deferred(connection, rows)
    found.events |= _sent_then(connection, when)
    return found


def live_of(connection: sa.Connection, run_ids: Sequence[str]) -> list[str]:
    """Give those of these runs that have not ended."""
    run = schema.run
    query = sa.select(run.c.id).where(run.c.id.in_(run_ids), run.c.status.not_in(removing.ENDED))
    return list(connection.execute(query).scalars())


def _called(connection: sa.Connection, run_ids: Sequence[str]) -> set[str]:
    """Give the ids of the events by which steps have called functions, or do so now."""
    step, wait = schema.step, schema.wait
    op = Opcode.INVOKE.value
    done = sa.select(step.c.run_id, step.c.id).where(step.c.run_id.in_(run_ids), step.c.op == op)
    now = sa.select(wait.c.run_id, wait.c.key).where(wait.c.run_id.in_(run_ids), wait.c.kind == op)
    return {
        ids.derived(ids.time_of(run_id), run_id, key, removing.CALL)
        for run_id, key in connection.execute(done.union(now))
    }


def _sent(connection: sa.Connection, run_ids: Sequence[str]) -> tuple[set[str], dict[str, tuple[int, int]]]:
    """Give the ids of the events that steps have sent: those that are certain, and for others when they were sent."""
    step = schema.step
    query = sa.select(step.c.run_id, step.c.id, step.c.memo, step.c.started_at, step.c.ended_at)
    certain: set[str] = set()
    when: dict[str, tuple[int, int]] = {}
    for row in connection.execute(query.where(step.c.run_id.in_(run_ids), step.c.op == Opcode.STEP_RUN.value)):
        for number, event_id in enumerate(_ids_in(row.memo)):
            if event_id == ids.derived(ids.time_of(row.run_id), row.run_id, row.id, str(number)):
                certain.add(event_id)
            else:
                when[event_id] = (row.started_at - _MARGIN_MS, row.ended_at + _MARGIN_MS)
    return certain, when


def _ids_in(memo: str) -> list[str]:
    """Give what a step that sends events remembers: ``{"ids": […]}``, or the bare list of the official SDKs."""
    if '"data"' not in memo:
        return []
    read = json.loads(memo)
    data = read.get("data") if isinstance(read, dict) else None
    if isinstance(data, dict) and set(data) == {"ids"}:
        data = data["ids"]
    if not isinstance(data, list):
        return []
    return [each for each in data if isinstance(each, str) and len(each) == schema.ULID_LENGTH]


def _sent_then(connection: sa.Connection, when: dict[str, tuple[int, int]]) -> set[str]:
    """Give those that came while their step ran: a step's result may be a list of ids that it has read somewhere."""
    event = schema.event
    if not when:
        return set()
    query = sa.select(event.c.id, event.c.received_at).where(event.c.id.in_(sorted(when)))
    return {row.id for row in connection.execute(query) if when[row.id][0] <= row.received_at <= when[row.id][1]}


def _deferred(connection: sa.Connection, rows: Sequence[Any]) -> set[str]:
    """Give the events of what runs had put off until their ends; they came at that very time."""
    event = schema.event
    times = sorted({row.ended_at for row in rows if row.ended_at is not None})
    query = sa.select(event.c.id, event.c.data).where(event.c.name == defers.SCHEDULE, event.c.received_at.in_(times))
    run_ids = {row.id for row in rows}
    found = connection.execute(query)
    return {row.id for row in found if json.loads(row.data).get("_inngest", {}).get("parent_run_id") in run_ids}


def waited_for(connection: sa.Connection, names: Collection[str]) -> set[str]:
    """Give those of these event names that some run has ever waited for."""
    topic = schema.topic
    query = sa.select(topic.c.event_name).where(topic.c.event_name.in_(sorted(names)))
    return set(connection.execute(query).scalars())


def memos_of_events(
    connection: sa.Connection, since: int, behind: tuple[str, str] = ("", "")
) -> Iterator[tuple[str, str, str]]:
    """Give the memos of steps that have waited for events and ended at that time or later: run, step and memo.

    No index finds them by their event: it goes through all steps, so many at a time.
    """
    step = schema.step
    while True:
        query = sa.select(step.c.run_id, step.c.id, step.c.memo).where(
            step.c.op == Opcode.WAIT_FOR_EVENT.value,
            step.c.ended_at >= since,
            step.c.run_id >= behind[0],
            sa.or_(step.c.run_id > behind[0], step.c.id > behind[1]),
        )
        page = connection.execute(query.order_by(step.c.run_id, step.c.id).limit(_PAGE)).all()
        yield from ((row.run_id, row.id, row.memo) for row in page)
        if len(page) < _PAGE:
            return
        behind = (page[-1].run_id, page[-1].id)


def signals_of(connection: sa.Connection, run_ids: Sequence[str]) -> set[str]:
    """Give the names under which signals stand that these runs have waited for."""
    step, wait = schema.step, schema.wait
    op = Opcode.WAIT_FOR_SIGNAL.value
    waited = sa.select(step.c.waited).where(step.c.run_id.in_(run_ids), step.c.op == op)
    found = {json.loads(text).get("event") for text in connection.execute(waited).scalars() if text}
    now = sa.select(wait.c.event_name).where(wait.c.run_id.in_(run_ids), wait.c.kind == op)
    return {name for name in found | set(connection.execute(now).scalars()) if name}
