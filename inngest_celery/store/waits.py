"""Statements on waits: register one, find those an event may satisfy, resume the run of one that it did.

No wake-up is lost, because whoever registers a wait holds its topic exclusively and whoever routes an event holds it
shared: either the route sees the wait, or the wait, once it has the topic, sees the stored event.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set

import sqlalchemy as sa

from inngest_celery.opcodes import Opcode
from inngest_celery.store import events, outcomes, schema, sent_by
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.rows import Event, Job, JobKind, RunStatus, Step, Wait, values

# How far the clocks of two machines are thought to be apart at most.
_MOST_SKEW_MS = 60_000
_RUNS_AT_ONCE = 500


@retried
def prepare_topics(database: Database, names: Iterable[str]) -> None:
    """Make the rows that waits on these names lock. Committed beforehand, so that a route always finds them."""
    with database.transaction() as connection:
        insert_new(connection, schema.topic, [{"event_name": name, "paths": "[]"} for name in sorted(set(names))])


def lock_topics(connection: sa.Connection, rows: Sequence[Wait]) -> bool:
    """Take the topics of these waits exclusively and note their anchor paths; false when a topic is not prepared."""
    names = sorted({row.event_name for row in rows})
    return all(
        lock_topic(connection, name, {path for row in rows if row.event_name == name for path in row.paths})
        for name in names
    )


def lock_topic(connection: sa.Connection, name: str, paths: Set[str] = frozenset()) -> bool:
    """Take one topic exclusively and note anchor paths; false when it is not prepared."""
    table = schema.topic
    query = sa.select(table.c.paths).where(table.c.event_name == name).with_for_update()
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        return False
    known = set(json.loads(found))
    if not paths <= known:
        update = sa.update(table).where(table.c.event_name == name)
        connection.execute(update.values(paths=json.dumps(sorted(known | paths))))
    return True


def share_topic(connection: sa.Connection, name: str) -> list[str] | None:
    """Hold a topic for reading; give the anchor paths in use, or ``None`` when nobody ever waited for the name."""
    table = schema.topic
    query = sa.select(table.c.paths).where(table.c.event_name == name).with_for_update(read=True)
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else list(json.loads(found))


def insert(connection: sa.Connection, rows: Sequence[Wait]) -> None:
    insert_new(connection, schema.wait, [values(row) for row in rows])


def take(connection: sa.Connection, run_id: str, key: str) -> Wait | None:
    """Delete a wait, and give what it was."""
    table = schema.wait
    mine = sa.and_(table.c.run_id == run_id, table.c.key == key)
    row = connection.execute(sa.select(table).where(mine)).first()
    if row is None:
        return None
    connection.execute(sa.delete(table).where(mine))
    return Wait(**row._mapping)


def waited_for(wait: Wait, more: Mapping[str, object] | None = None) -> str:
    """Give what a step keeps of its wait, as JSON text, with more about it."""
    return json.dumps({"until": wait.expires_at, "event": wait.event_name, "if": wait.expression, **(more or {})})


def answered_with(event: Event) -> dict[str, object]:
    """Give what a step keeps of the event that it has waited for, besides the event itself."""
    return {"answer": {"id": event.id, "by": sent_by.of_event(event.extra)}}


def candidates(connection: sa.Connection, name: str, anchors: Iterable[str], at: int) -> list[Wait]:
    """Give the waits on an event name whose anchor is one of these or empty, and whose time was not up at ``at``."""
    table = schema.wait
    query = sa.select(table).where(
        table.c.event_name == name, table.c.anchor.in_(sorted({"", *anchors})), table.c.expires_at > at
    )
    return [Wait(**row._mapping) for row in connection.execute(query.order_by(table.c.created_at, table.c.run_id))]


def resume(
    connection: sa.Connection,
    run_id: str,
    key: str,
    memo: str,
    *,
    now: int,
    sweep_at: int,
    task_id: str | None = None,
    more: Mapping[str, object] | None = None,
) -> Job | None:
    """Record what a waiting step has got, and make its job due.

    Args:
        memo: what the function sees of it.
        now, sweep_at: milliseconds.
        task_id: the Celery task that the step has waited for, if it has.
        more: what the step keeps of its wait, besides until when it would have lasted, and for what.

    Returns:
        The job, or ``None`` when the wait is gone: satisfied, timed out or its run ended before.
    """
    run = schema.run
    status = connection.execute(
        sa.select(run.c.status).where(run.c.id == run_id).with_for_update()
    ).scalar_one_or_none()
    if status is None or RunStatus(status).ended:
        return None
    wait = take(connection, run_id, key)
    if wait is None:
        return None
    step = Step(
        run_id=run_id,
        id=key,
        name=wait.name,
        op=wait.kind,
        memo=memo,
        failed=memo.startswith('{"error":'),
        attempt=0,
        queued_at=wait.created_at,
        started_at=wait.created_at,
        ended_at=now,
        task_id=task_id,
        waited=waited_for(wait, more),
    )
    outcomes.append(connection, [step])
    job = schema.job
    mine = sa.and_(job.c.subject_id == run_id, job.c.key == key)
    connection.execute(
        sa.update(job)
        .where(mine)
        .values(
            kind=JobKind.RESUME.value,
            due_at=now,
            sweep_at=sweep_at,
            hints=1,
            attempt=0,
            leased_by=None,
            leased_until=None,
            fence=job.c.fence + 1,
        )
    )
    found = connection.execute(sa.select(job).where(mine)).first()
    return None if found is None else job_from(found._mapping)


def taken_before(connection: sa.Connection, event: Event, rows: Sequence[Wait]) -> set[tuple[str, str]]:
    """Give those waits, by run and key, whose function had been given the event by another wait when it asked for them.

    Such an event comes once more where the first wait found it stored, and only then it is routed; and where its sender
    sends it again, under the same id.
    """
    later = [row for row in rows if row.seen]
    run_ids = sorted({row.run_id for row in later})
    again_ms = _MOST_SKEW_MS if event.external_id == event.id else events.IDEMPOTENCY_MS
    table = schema.step
    query = sa.select(table.c.run_id, table.c.seq, table.c.memo).where(
        table.c.op == Opcode.WAIT_FOR_EVENT.value, table.c.ended_at >= event.received_at - again_ms
    )
    taken: dict[str, int] = {}
    for first in range(0, len(run_ids), _RUNS_AT_ONCE):
        for found in connection.execute(query.where(table.c.run_id.in_(run_ids[first : first + _RUNS_AT_ONCE]))):
            if _is_of(found.memo, event):
                taken[found.run_id] = min(found.seq, taken.get(found.run_id, found.seq))
    return {(row.run_id, row.key) for row in later if row.run_id in taken and taken[row.run_id] <= row.seen}


def _is_of(memo: str, event: Event) -> bool:
    """Tell whether a wait has got an event, or the same one as it was sent before."""
    got = json.loads(memo)
    return isinstance(got, dict) and (got.get("name"), got.get("id")) == (event.name, event.external_id)


def event_memo(event: Event) -> str:
    """Give what a wait for an event sees: the whole event, as JSON text."""
    return events.as_json(event)


def job_from(row: sa.RowMapping) -> Job:
    """Read a job from a row that may have other columns too."""
    columns = {column.name: row[column.name] for column in schema.job.columns}
    return Job(**{**columns, "kind": JobKind(columns["kind"])})
