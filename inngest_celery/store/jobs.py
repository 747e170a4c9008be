"""Statements on jobs: claim, renew, sweep.

``sweep_at`` alone decides when a sweep looks at a job: when its hint should have been answered, when its lease runs
out, or when its due time comes within the horizon. One index serves all three.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.direct import Statement
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.rows import Attempt, Event, Job, JobKind, Run, values
from inngest_celery.store.sealed import open_value, places_of
from inngest_celery.store.waits import job_from

if TYPE_CHECKING:
    from inngest_celery.store.keyring import Keyring

# A job that waits for its turn is looked at once, lest it was never put in line, and then so seldom: it is called.
PARKED_MS = 300_000
# Any other job whose hint is not answered is looked at again after this time, at most.
_MOST_PATIENCE_MS = 600_000
_MANY_ROUTES = 1000

# All in one statement sees the tables as they were before it. Where the claim had to wait for somebody who changed the
# job meanwhile (an event that resumes it, say), memos may have come with the change: then they are left to be read.
# PostgreSQL may answer a claim before it is on disk: a claim that a power failure undoes is just one that never was.
_CLAIM = Statement(f"""
WITH relaxed AS (SELECT set_config('synchronous_commit', 'off', true) AS setting),
claimed AS (
  UPDATE inngest_job SET leased_by = %(owner)s, leased_until = %(until)s, sweep_at = %(until)s, fence = fence + 1
  FROM relaxed
  WHERE relaxed.setting = 'off' AND subject_id = %(subject)s AND key = %(key)s AND due_at <= %(now)s
    AND (leased_until IS NULL OR leased_until <= %(now)s)
  RETURNING inngest_job.*
)
SELECT {", ".join(f"claimed.{name}" for name in Job.__slots__)},
  EXISTS (
    SELECT 1 FROM inngest_job other
    WHERE other.subject_id = claimed.subject_id AND other.key <> claimed.key AND other.kind <> 'deadline'
  ),
  CASE WHEN before.fence = claimed.fence - 1 AND before.kind = claimed.kind AND before.due_at = claimed.due_at
    AND before.attempt = claimed.attempt
  THEN (
    SELECT coalesce(json_object_agg(step.id, step.memo ORDER BY step.seq, step.ended_at, step.id), '{{}}')
    FROM inngest_step step WHERE step.run_id = claimed.subject_id
  ) END,
  {", ".join(f"run.{name}" for name in Run.__slots__)},
  {", ".join(f"event.{name}" for name in Event.__slots__)}
FROM claimed
JOIN inngest_job before ON before.subject_id = claimed.subject_id AND before.key = claimed.key
LEFT JOIN inngest_run run ON run.id = claimed.subject_id
LEFT JOIN inngest_event event ON event.id = coalesce(run.event_id, claimed.subject_id)
""")  # noqa: S608


_JOB, _RUN, _EVENT = (tuple(places_of(table).items()) for table in (schema.job, schema.run, schema.event))
_MEMO = places_of(schema.step)["memo"]

# What is held is due in another century, in the order in which it was due: to be let go it is moved back by as much.
# No event may be later than the year 2100, so nothing else is due then.
HELD_MS = 5_000_000_000_000


@dataclass(slots=True)
class Claimed:
    """A job that this worker now holds, with its run (none for a route or cron job) and event.

    ``alone`` says that the run has no other job: nobody else is working on it, or will before this job has ended.
    ``memos`` are what is recorded of the run, by step key; ``None`` if that is yet to be read.
    """

    job: Job
    run: Run | None
    event: Event | None
    alone: bool = True
    memos: dict[str, str] | None = None


@retried
def claim(database: Database, subject_id: str, key: str, *, owner: str, now: int, until: int) -> Claimed | None:
    """Take the lease of a due job.

    Args:
        owner: the worker's name.
        now: the time in milliseconds.
        until: when the lease runs out.

    Returns:
        The job with what it takes to work on it, or ``None`` when it is done, not due or held by another worker.
    """
    if database.dialect == "postgresql":
        parameters = {"owner": owner, "until": until, "now": now, "subject": subject_id, "key": key}
        row = _CLAIM.row(database, parameters)
        return None if row is None else _opened(_claimed(row), database.keyring)
    table = schema.job
    mine = sa.and_(table.c.subject_id == subject_id, table.c.key == key)
    free = sa.or_(table.c.leased_until.is_(None), table.c.leased_until <= now)
    with database.transaction() as connection:
        taken = connection.execute(
            sa.update(table)
            .where(mine, table.c.due_at <= now, free)
            .values(leased_by=owner, leased_until=until, sweep_at=until, fence=table.c.fence + 1)
        )
        if taken.rowcount != 1:
            return None
        job = job_from(connection.execute(sa.select(table).where(mine)).one()._mapping)
        run = connection.execute(sa.select(schema.run).where(schema.run.c.id == subject_id)).first()
        event_id = run.event_id if run else subject_id
        event = connection.execute(sa.select(schema.event).where(schema.event.c.id == event_id)).first()
        others = sa.exists().where(
            table.c.subject_id == subject_id, table.c.key != key, table.c.kind != JobKind.DEADLINE.value
        )
        has_others = bool(connection.execute(sa.select(others)).scalar_one())
    return Claimed(
        job, Run(**run._mapping) if run else None, Event(**event._mapping) if event else None, alone=not has_others
    )


def _claimed(row: tuple[Any, ...]) -> Claimed:
    values = iter(row)
    job = Job(*islice(values, len(Job.__match_args__)))
    job.kind = JobKind(job.kind)
    has_others, memos = next(values), next(values)
    run, event = Run(*islice(values, len(Run.__match_args__))), Event(*values)
    # Of a row that is not there, every column is null.
    return Claimed(job, run if run.id else None, event if event.id else None, alone=not has_others, memos=memos)


def _opened(claimed: Claimed, keyring: Keyring | None) -> Claimed:
    """Decrypt what the database gave as it is stored."""
    for row, places in ((claimed.job, _JOB), (claimed.run, _RUN), (claimed.event, _EVENT)):
        for name, place in places:
            value = getattr(row, name, None)
            if value is not None:
                setattr(row, name, open_value(keyring, value, place))
    if claimed.memos is not None:
        claimed.memos = {key: open_value(keyring, memo, _MEMO) for key, memo in claimed.memos.items()}
    return claimed


def lock(connection: sa.Connection, subject_id: str, key: str) -> Job | None:
    """Lock a job until the end of the transaction; ``None`` when there is no such job."""
    table = schema.job
    query = sa.select(table).where(table.c.subject_id == subject_id, table.c.key == key).with_for_update()
    row = connection.execute(query).first()
    return None if row is None else job_from(row._mapping)


def insert_missing(connection: sa.Connection, jobs: Sequence[Job]) -> list[Job]:
    """Insert the jobs of one locked run, but none for a step that is recorded or has a job; give the inserted ones."""
    if not jobs:
        return []
    run_id, keys = jobs[0].subject_id, [job.key for job in jobs]
    taken = sa.union_all(
        sa.select(schema.job.c.key).where(schema.job.c.subject_id == run_id, schema.job.c.key.in_(keys)),
        sa.select(schema.step.c.id).where(schema.step.c.run_id == run_id, schema.step.c.id.in_(keys)),
    )
    present = set(connection.execute(taken).scalars())
    missing = [job for job in jobs if job.key not in present]
    insert(connection, missing)
    return missing


def insert(connection: sa.Connection, jobs: Sequence[Job]) -> None:
    insert_new(connection, schema.job, [values(job) for job in jobs])


@retried
def store(database: Database, job: Job) -> None:
    """Insert one job, unless it is there."""
    with database.autocommit() as connection:
        insert(connection, [job])


@retried
def take(database: Database, subject_id: str, key: str) -> bool:
    """Take a job by deleting it: of all who try, one does. False for the others."""
    table = schema.job
    with database.autocommit() as connection:
        taken = connection.execute(sa.delete(table).where(table.c.subject_id == subject_id, table.c.key == key))
    return taken.rowcount == 1


def end(connection: sa.Connection, job: Job) -> bool:
    """Delete a job that this worker holds; false when the lease is lost."""
    table = schema.job
    deleted = connection.execute(
        sa.delete(table).where(table.c.subject_id == job.subject_id, table.c.key == job.key, table.c.fence == job.fence)
    )
    return deleted.rowcount == 1


def update(connection: sa.Connection, job: Job, again: Job) -> bool:
    """Turn a job that this worker holds into what it is to be next (a retry, say); false when the lease is lost."""
    table = schema.job
    columns = {name: value for name, value in values(again).items() if name not in ("subject_id", "key")}
    updated = connection.execute(
        sa.update(table)
        .where(table.c.subject_id == job.subject_id, table.c.key == job.key, table.c.fence == job.fence)
        .values(**columns)
    )
    return updated.rowcount == 1


@retried
def renew(database: Database, jobs: Sequence[Job], until: int) -> list[Job]:
    """Prolong leases; give those that are lost: ended, cancelled or taken over by another worker."""
    lost = []
    table = schema.job
    for job in jobs:
        renew = (
            sa.update(table)
            .where(table.c.subject_id == job.subject_id, table.c.key == job.key, table.c.fence == job.fence)
            .values(leased_until=until, sweep_at=until)
        )
        with database.autocommit() as connection:
            if connection.execute(renew).rowcount != 1:
                lost.append(job)
    return lost


@retried
def sweep(database: Database, *, now: int, horizon: int, hint_timeout: int, limit: int) -> tuple[list[Job], bool]:
    """Take up the jobs that a sweep should look at, and note that they are being hinted.

    Args:
        now: the time in milliseconds.
        horizon: how far ahead of its due time a job may be hinted, in milliseconds.
        hint_timeout: how long a first hint may stay unanswered, in milliseconds; doubles with every further one.
        limit: the most jobs to take up.

    Returns:
        The jobs to send hints for, whose leases, if they had any, have run out; and whether there may be more.
    """
    table = schema.job
    with database.transaction() as connection:
        query = (
            sa.select(table)
            .where(table.c.sweep_at <= now)
            .order_by(table.c.sweep_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        jobs = [job_from(row._mapping) for row in connection.execute(query)]
        for job in jobs:
            # Longer each time: messages in a long queue are late, not lost, and must not be doubled every few seconds.
            patience = min(hint_timeout * 2 ** min(job.hints, 10), _MOST_PATIENCE_MS)
            if job.flow is not None:
                # It may wait in line for long. The gate calls it, and calls it again if its hint was lost. Whoever
                # cannot put it in line now, or dies before, leaves it to `unpark`.
                patience = max(patience, PARKED_MS)
            job.sweep_at = max(job.due_at, now) + patience if job.due_at <= now + horizon else job.due_at - horizon
            job.hints = min(job.hints + 1, 1000)
        if jobs:
            update = (
                sa.update(table)
                .where(table.c.subject_id == sa.bindparam("b_subject"), table.c.key == sa.bindparam("b_key"))
                .values(sweep_at=sa.bindparam("b_sweep_at"), hints=sa.bindparam("b_hints"))
            )
            parameters = [
                {"b_subject": job.subject_id, "b_key": job.key, "b_sweep_at": job.sweep_at, "b_hints": job.hints}
                for job in jobs
            ]
            connection.execute(update, parameters)
    return [job for job in jobs if job.due_at <= now + horizon], len(jobs) == limit


@retried
def unpark(database: Database, now: int) -> None:
    """Let the next sweeps look at all jobs that wait for their turn: some may not stand in line."""
    table = schema.job
    free = sa.or_(table.c.leased_until.is_(None), table.c.leased_until <= now)
    with database.autocommit() as connection:
        connection.execute(
            sa.update(table)
            .where(
                table.c.flow.is_not(None),
                table.c.sweep_at > now,
                table.c.sweep_at <= now + PARKED_MS,
                table.c.due_at <= now,
                free,
            )
            .values(sweep_at=now)
        )


@retried
def reset_hint(database: Database, jobs: Sequence[Job], sweep_at: int) -> None:
    """Let the next sweep hint these again: the broker did not take them."""
    table = schema.job
    with database.transaction() as connection:
        for job in sorted(jobs, key=lambda job: (job.subject_id, job.key)):
            connection.execute(
                sa.update(table)
                .where(
                    table.c.subject_id == job.subject_id,
                    table.c.key == job.key,
                    table.c.fence == job.fence,
                    table.c.leased_by.is_(None),
                )
                .values(sweep_at=sweep_at)
            )


@retried
def put_back(database: Database, job: Job, sweep_at: int) -> None:
    """Give a claimed job back undone, with the due time and options that it has now, for a sweep to hint again."""
    table = schema.job
    with database.autocommit() as connection:
        connection.execute(
            sa.update(table)
            .where(table.c.subject_id == job.subject_id, table.c.key == job.key, table.c.fence == job.fence)
            .values(leased_by=None, leased_until=None, due_at=job.due_at, sweep_at=sweep_at, opts=job.opts)
        )


def is_overtaking(connection: sa.Connection, timeout: Job, now: int) -> bool:
    """Tell whether a wait's timeout is before an event that came in time for the wait, and is still to be routed.

    Where very many are to be routed that came in time it may be one of them: whose they are is not looked at.
    """
    job, event, wait = schema.job, schema.event, schema.wait
    mine = sa.and_(wait.c.run_id == timeout.subject_id, wait.c.key == timeout.key)
    # By the index that sweeps have: what sleeps for long is not looked at.
    undone = sa.and_(job.c.kind == JobKind.ROUTE.value, job.c.sweep_at <= now + _MOST_PATIENCE_MS)
    in_time = sa.select(job.c.subject_id, wait.c.event_name).select_from(
        wait.join(job, sa.and_(undone, job.c.created_at < wait.c.expires_at))
    )
    some = in_time.where(mine).limit(_MANY_ROUTES).subquery()
    wanted = sa.exists().where(event.c.id == some.c.subject_id, event.c.name == some.c.event_name)
    found = connection.execute(sa.select(sa.func.count(), sa.func.sum(sa.case((wanted, 1), else_=0))).select_from(some))
    number, fitting = found.one()
    return bool(fitting) or number == _MANY_ROUTES


@retried
def held_by(database: Database, owner: str, *, now: int, lease: int) -> list[Job]:
    """Give the jobs that a worker's process holds, whose name is this or begins with it. Times are milliseconds.

    By the index that sweeps have: what is held is looked at when the lease runs out.
    """
    table = schema.job
    query = sa.select(table).where(
        table.c.sweep_at.between(now - lease, now + 2 * lease), table.c.leased_by.startswith(owner, autoescape=True)
    )
    with database.autocommit() as connection:
        return [job_from(row._mapping) for row in connection.execute(query)]


def read(database: Database, job: Job) -> Claimed | None:
    """Give a job as :func:`claim` would, for somebody who holds it in another's name; ``None`` if it has changed."""
    table = schema.job
    with database.autocommit() as connection:
        found = connection.execute(
            sa.select(table).where(
                table.c.subject_id == job.subject_id, table.c.key == job.key, table.c.fence == job.fence
            )
        ).first()
        run = connection.execute(sa.select(schema.run).where(schema.run.c.id == job.subject_id)).first()
        if found is None or run is None:
            return None
        event = connection.execute(sa.select(schema.event).where(schema.event.c.id == run.event_id)).first()
    return Claimed(job_from(found._mapping), Run(**run._mapping), Event(**event._mapping) if event else None)


@retried
def free(database: Database, job: Job, freed: Job, attempt: Attempt | None) -> bool:
    """Take a job from whoever held it, with an attempt for the history; false if they hold it no more."""
    with database.transaction() as connection:
        if not update(connection, job, freed):
            return False
        if attempt is not None:
            insert_new(connection, schema.attempt, [values(attempt)])
    return True


def milliseconds_early(database: Database, subject_id: str, key: str, now: int) -> int | None:
    """Tell how long before its due time it is, for a job that is free; ``None`` for any other."""
    table = schema.job
    query = sa.select(table.c.due_at).where(
        table.c.subject_id == subject_id, table.c.key == key, table.c.leased_by.is_(None), table.c.due_at > now
    )
    with database.autocommit() as connection:
        due_at = connection.execute(query).scalar_one_or_none()
    return None if due_at is None else int(due_at) - now


def of_subject(connection: sa.Connection, subject_id: str) -> list[Job]:
    """Give what is still to be done for a run, the first due first."""
    table = schema.job
    query = sa.select(table).where(table.c.subject_id == subject_id).order_by(table.c.due_at, table.c.key)
    return [job_from(row._mapping) for row in connection.execute(query)]


def any_left(connection: sa.Connection, run_id: str) -> bool:
    """Tell whether anything is still to be done for a run, apart from ending it when it is overdue."""
    table = schema.job
    left = sa.exists().where(table.c.subject_id == run_id, table.c.kind != JobKind.DEADLINE.value)
    return bool(connection.execute(sa.select(left)).scalar_one())


def exists(connection: sa.Connection, subject_id: str) -> bool:
    """Tell whether anything remains to be done for a run."""
    table = schema.job
    return bool(connection.execute(sa.select(sa.exists().where(table.c.subject_id == subject_id))).scalar_one())


def hold(jobs: Iterable[Job]) -> None:
    """Let nothing happen to new jobs until :func:`release` lets them go."""
    for job in jobs:
        job.due_at += HELD_MS
        job.sweep_at, job.hints = job.due_at, 0


def release(connection: sa.Connection, function_id: str, now: int, limit: int) -> int:
    """Let held jobs of a function go, those first that are due first; give how many, at most ``limit``.

    What is due then is hinted by the sweep, in the same order. The time that a run has for its start begins now.
    """
    table = schema.job
    query = sa.select(table).where(table.c.sweep_at >= HELD_MS, table.c.function_id == function_id)
    rows = connection.execute(query.order_by(table.c.sweep_at, table.c.subject_id).limit(limit).with_for_update())
    held = [job_from(row._mapping) for row in rows]
    for job in held:
        due_at = job.due_at - HELD_MS
        if job.kind is JobKind.DEADLINE:
            due_at += now - job.created_at
        update(connection, job, replace(job, due_at=due_at, sweep_at=due_at))
    return len(held)
