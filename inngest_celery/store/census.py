"""How much there is of what has not ended: bounded counts, by index, for whoever looks again and again.

A million runs may sleep. So each count stops at :data:`MOST`: a number that has reached it means that many, or more.
Jobs are counted in the order in which sweeps look at them, so those that are due come before those that are not.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.jobs import HELD_MS
from inngest_celery.store.rows import JobKind, RunStatus

MOST = 50_000
_ACTIVE, _WAITING, _SLEEPING, _SCHEDULED = 3, 2, 1, 4
_OF_RUNS = (JobKind.START, JobKind.STEP, JobKind.SLEEP, JobKind.TIMEOUT, JobKind.CELERY, JobKind.RESUME)


class JobState(enum.StrEnum):
    """What a job is doing.

    ``DUE``: any worker may take it. ``LIMITED``: due, and under a limit: in line, or called already. ``LEASED``: a
    worker has it. ``LATER``: its time has not come. ``HELD``: its function is paused.
    """

    DUE = "due"
    LIMITED = "limited"
    LEASED = "leased"
    LATER = "later"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class JobCount:
    """Jobs that are alike; ``due_at`` is when the first of them was, or is, due, in milliseconds."""

    queue: str
    kind: JobKind
    state: JobState
    count: int
    due_at: int


def runs(connection: sa.Connection) -> dict[RunStatus, int]:
    """Count the runs that have not ended, by status."""
    table, counts = schema.run, []
    for status in (RunStatus.SCHEDULED, RunStatus.RUNNING):
        some = sa.select(table.c.id).where(table.c.status == status.value).limit(MOST).subquery()
        counts.append(
            sa.select(sa.literal(status.value).label("status"), sa.func.count().label("number")).select_from(some)
        )
    return {RunStatus(row.status): row.number for row in connection.execute(sa.union_all(*counts))}


def jobs(connection: sa.Connection, now: int) -> list[JobCount]:
    """Count jobs by queue, kind and state; ``now`` in milliseconds."""
    columns = schema.job.c
    state = sa.case(
        (columns.due_at >= HELD_MS, JobState.HELD.value),
        (columns.leased_until > now, JobState.LEASED.value),
        (columns.due_at > now, JobState.LATER.value),
        (columns.flow.is_not(None), JobState.LIMITED.value),
        else_=JobState.DUE.value,
    )
    some = _first(columns.queue, columns.kind, state.label("state"), columns.due_at)
    kinds = (some.c.queue, some.c.kind, some.c.state)
    query = sa.select(*kinds, sa.func.count(), sa.func.min(some.c.due_at)).group_by(*kinds).order_by(*kinds)
    return [
        JobCount(queue, JobKind(kind), JobState(state), count, due_at)
        for queue, kind, state, count, due_at in connection.execute(query)
    ]


def resting(connection: sa.Connection, now: int) -> tuple[int, int]:
    """Count the runs that only sleep, or wait for their next attempt, and those that wait for something else too."""
    columns = schema.job.c
    later = columns.due_at > now
    activity = sa.case(
        (sa.and_(later, columns.kind == JobKind.START.value, columns.attempt == 0), _SCHEDULED),
        (sa.not_(later), _ACTIVE),
        (columns.kind.in_((JobKind.TIMEOUT.value, JobKind.CELERY.value)), _WAITING),
        else_=_SLEEPING,
    )
    some = _first(columns.subject_id, columns.kind, activity.label("activity"))
    most = sa.func.max(some.c.activity).label("most")
    each = sa.select(most).where(some.c.kind.in_([kind.value for kind in _OF_RUNS])).group_by(some.c.subject_id)
    found = each.subquery()
    query = sa.select(found.c.most, sa.func.count().label("number")).group_by(found.c.most)
    counts = {row.most: row.number for row in connection.execute(query)}
    return counts.get(_SLEEPING, 0), counts.get(_WAITING, 0)


def waits(connection: sa.Connection) -> dict[str, int]:
    """Count open waits by kind."""
    some = sa.select(schema.wait.c.kind).limit(MOST).subquery()
    query = sa.select(some.c.kind, sa.func.count().label("number")).group_by(some.c.kind).order_by(some.c.kind)
    return {row.kind: row.number for row in connection.execute(query)}


def next_sweep_at(connection: sa.Connection) -> int | None:
    """Give when the next job should be looked at by a sweep, in milliseconds; ``None`` if there is no job."""
    found: int | None = connection.execute(sa.select(sa.func.min(schema.job.c.sweep_at))).scalar_one()
    return found


def _first(*columns: Any) -> sa.Subquery:
    """Give the jobs that sweeps look at first."""
    return sa.select(*columns).order_by(schema.job.c.sweep_at).limit(MOST).subquery()
