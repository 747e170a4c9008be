"""Statements on runs: lock, read, finish.

Locks are always taken in the same order, so that no two transactions wait for each other: topic, run, parent run, job.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from inngest_celery.store import defers, events, schema, subjects, waits
from inngest_celery.store.changes import RunEnd
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.outcomes import ORDER
from inngest_celery.store.rows import Attempt, Job, JobKind, Run, RunStatus, Step, values

REVOKE_TASK = "inngest.revoke"
REVOKE_KEY = "revoke"


def lock(connection: sa.Connection, run_id: str) -> Run | None:
    """Lock a run until the end of the transaction; ``None`` when there is no such run."""
    return _one(connection, run_id, for_update=True)


def get(connection: sa.Connection, run_id: str) -> Run | None:
    return _one(connection, run_id, for_update=False)


def of_event(connection: sa.Connection, event_id: str) -> list[Run]:
    """Give the runs that an event has started, alone or with others, the oldest first."""
    table = schema.run
    wanted = sa.or_(table.c.event_id == event_id, table.c.id.in_(events.runs_of(connection, event_id)))
    return [Run(**row._mapping) for row in connection.execute(sa.select(table).where(wanted).order_by(table.c.id))]


class StartedRun(NamedTuple):
    """A run, and an event that has started it, alone or with others."""

    event_id: str
    id: str
    function_id: str
    status: int


def started_by(connection: sa.Connection, event_ids: Sequence[str]) -> dict[str, list[StartedRun]]:
    """Give the runs that each of these events has started, the oldest first, without what may be large."""
    run, together = schema.run, schema.run_event
    shown = (run.c.id, run.c.function_id, run.c.status)
    alone = sa.select(run.c.event_id, *shown).where(run.c.event_id.in_(event_ids))
    joined = sa.select(together.c.event_id, *shown).join(run, run.c.id == together.c.run_id)
    query = sa.union(alone, joined.where(together.c.event_id.in_(event_ids))).order_by("id")
    found: dict[str, list[StartedRun]] = {}
    for row in connection.execute(query):
        found.setdefault(row.event_id, []).append(StartedRun(*row))
    return found


def _one(connection: sa.Connection, run_id: str, *, for_update: bool) -> Run | None:
    query = sa.select(schema.run).where(schema.run.c.id == run_id)
    row = connection.execute(query.with_for_update() if for_update else query).first()
    return Run(**row._mapping) if row else None


def insert(connection: sa.Connection, run: Run) -> None:
    connection.execute(sa.insert(schema.run), values(run))


def claim(connection: sa.Connection, run: Run) -> Run | None:
    """Insert a run under its keys, if it has any; give the run that has one of them, and then it is not inserted.

    Two that come at once: one waits for the other's commit.
    """
    if run.idempotency_key is None and run.singleton_key is None:
        insert(connection, run)
        return None
    table = schema.run
    if run.idempotency_key is not None:
        same, expired = table.c.idempotency_key == run.idempotency_key, table.c.created_at <= _since(run)
        connection.execute(sa.update(table).where(same, expired).values(idempotency_key=None))
    while True:
        insert_new(connection, table, [values(run)])
        found = holder(connection, run)
        # None: it has ended between the two statements, and its place is free.
        if found is not None:
            return None if found.id == run.id else found


def holder(connection: sa.Connection, run: Run) -> Run | None:
    """Give the run that has a run's idempotency key, else the one that has its singleton key."""
    columns = schema.run.c
    queries = []
    if run.idempotency_key is not None:
        same = columns.idempotency_key == run.idempotency_key
        queries.append(sa.select(schema.run).where(same, columns.created_at > _since(run)))
    if run.singleton_key is not None:
        queries.append(sa.select(schema.run).where(columns.singleton_key == run.singleton_key))
    for query in queries:
        row = connection.execute(query).first()
        if row is not None:
            return Run(**row._mapping)
    return None


def of_key(connection: sa.Connection, key: str | None, now: int) -> Run | None:
    """Give the run that has an idempotency key, as long as that counts."""
    table = schema.run
    query = sa.select(table).where(table.c.idempotency_key == key, table.c.created_at > now - events.IDEMPOTENCY_MS)
    row = connection.execute(query).first()
    return Run(**row._mapping) if row else None


def _since(run: Run) -> int:
    """Give when a run must have been created to have an idempotency key that counts for this one."""
    return run.created_at - events.IDEMPOTENCY_MS


def start(connection: sa.Connection, run_id: str, now: int) -> None:
    """Note that a scheduled run has begun to execute."""
    table = schema.run
    connection.execute(
        sa.update(table)
        .where(table.c.id == run_id, table.c.status == RunStatus.SCHEDULED)
        .values(status=RunStatus.RUNNING.value, started_at=now)
    )


# Made once: to make a statement takes SQLAlchemy longer than to send it, and this one is sent for every hop.
_MEMOS = (
    sa.select(schema.step.c.id, schema.step.c.memo).where(schema.step.c.run_id == sa.bindparam("run")).order_by(*ORDER)
)


def memos(connection: sa.Connection, run_id: str) -> dict[str, str]:
    """Give what the function has seen so far: the hash of each step and its memo, in the order of completion."""
    return {row.id: row.memo for row in connection.execute(_MEMOS, {"run": run_id})}


def steps(connection: sa.Connection, run_id: str) -> list[Step]:
    table = schema.step
    query = sa.select(table).where(table.c.run_id == run_id).order_by(*ORDER)
    return [Step(**row._mapping) for row in connection.execute(query)]


def steps_of(connection: sa.Connection, run_ids: Sequence[str]) -> dict[str, list[Step]]:
    """Give the steps of several runs, by run; see :func:`steps`."""
    table = schema.step
    found: dict[str, list[Step]] = {}
    for row in connection.execute(sa.select(table).where(table.c.run_id.in_(run_ids)).order_by(*ORDER)):
        found.setdefault(row.run_id, []).append(Step(**row._mapping))
    return found


def attempts(connection: sa.Connection, run_id: str) -> list[Attempt]:
    table = schema.attempt
    query = sa.select(table).where(table.c.run_id == run_id)
    query = query.order_by(table.c.ended_at, table.c.step_id, table.c.attempt)
    return [Attempt(**row._mapping) for row in connection.execute(query)]


def record_attempts(connection: sa.Connection, rows: Sequence[Attempt]) -> None:
    insert_new(connection, schema.attempt, [values(row) for row in rows])


def finish(connection: sa.Connection, run: Run, end: RunEnd) -> list[Job]:
    """End a locked run: store how, drop what it still had to do, tell its parent and whoever listens.

    Args:
        run: the run, locked by this transaction and not ended.
        end: how it ends.

    Returns:
        The jobs that are due now and want a hint.
    """
    table = schema.run
    connection.execute(
        sa.update(table)
        .where(table.c.id == run.id)
        .values(status=end.status.value, output=end.output, ended_at=end.at, reason=end.reason, singleton_key=None)
    )
    subjects.note_output(connection, run.id, end.status, end.output)
    deferred = defers.events_of(connection, run, end.at)
    waited = connection.execute(sa.delete(schema.wait).where(schema.wait.c.run_id == run.id)).rowcount
    # Whoever waits for nothing waits for no Celery task.
    due = _revocation(connection, run, end) if waited else []
    connection.execute(sa.delete(schema.job).where(schema.job.c.subject_id == run.id))
    if due:
        insert_new(connection, schema.job, [values(job) for job in due])
    if end.deliver is not None:
        connection.execute(sa.insert(schema.job), values(end.deliver))
        due.append(end.deliver)
    if run.parent_run_id and run.parent_step_id:
        resumed = waits.resume(
            connection, run.parent_run_id, run.parent_step_id, end.parent_memo, now=end.at, sweep_at=end.hint_by
        )
        due += [resumed] if resumed else []
    later = [
        events.route_job(each.id, now=end.at, due_at=end.at, sweep_at=end.hint_by, queue=end.route_queue)
        for each in deferred
    ]
    told = [*end.events, *deferred]
    events.insert(connection, told)
    for event, job in zip(told, [*end.routes, *later], strict=True):
        if events.listened_to(connection, event.name):
            insert_new(connection, schema.job, [values(job)])
            due.append(job)
    return due


def _revocation(connection: sa.Connection, run: Run, end: RunEnd) -> list[Job]:
    """Make the job that revokes the Celery tasks which a run still waits for, if there are any."""
    table = schema.job
    query = sa.select(table.c.opts).where(table.c.subject_id == run.id, table.c.kind == JobKind.CELERY.value)
    waiting = connection.execute(query).all()
    ids = [task_id for row in waiting for task_id in json.loads(row.opts).get("ids", [])]
    if not ids:
        return []
    return [
        Job(
            subject_id=run.id,
            key=REVOKE_KEY,
            kind=JobKind.REVOKE,
            name="",
            function_id=run.function_id,
            task_name=REVOKE_TASK,
            queue=end.route_queue,
            opts=json.dumps({"ids": ids}),
            created_at=end.at,
            due_at=end.at,
            sweep_at=end.hint_by,
            hints=1,
        )
    ]
