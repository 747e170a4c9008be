"""What functions have done lately, at a cost that does not grow with the number of runs that are stored.

Nothing is counted that has no bound: of each function, and of each part of the time, the newest runs are read, up to a
number. They stand next to each other in the index by function and id, and ids begin with the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.store import schema
from inngest_celery.store.jobs import HELD_MS
from inngest_celery.store.listing import BY_FUNCTION, of_function
from inngest_celery.store.rows import Job, JobKind
from inngest_celery.store.waits import job_from

# SQLite takes 500 selects in one statement.
_AT_ONCE = 200


class Tally(NamedTuple):
    """How many of a function's newest runs were queued in one part of the time and have one status.

    Attributes:
        part: counted from 0, the oldest.
        first_at: when the oldest of them was queued, in milliseconds.
    """

    function_id: str
    part: int
    status: int
    runs: int
    first_at: int


class RunTimes(NamedTuple):
    status: int
    created_at: int
    started_at: int | None
    ended_at: int | None


def tallies(connection: sa.Connection, function_ids: Sequence[str], since: int, width: int, most: int) -> list[Tally]:
    """Count the newest runs of functions. It reads ``most`` rows a function at the most, and gives none of them.

    Args:
        since: milliseconds; what was queued earlier is left out.
        width: of a part of the time, in milliseconds.
        most: so many runs of each function are counted.
    """
    run, found = schema.run, []
    for some in _batched(function_ids, _AT_ONCE):
        columns = [run.c.function_id, run.c.created_at, run.c.status]
        chosen = (_newest(connection, columns, each, since, None, most) for each in some)
        newest = sa.union_all(*chosen).subquery()
        part = (newest.c.created_at - sa.literal(since, sa.BigInteger)) // sa.literal(width, sa.BigInteger)
        query = sa.select(
            newest.c.function_id,
            part.label("part"),
            newest.c.status,
            sa.func.count(),
            sa.func.min(newest.c.created_at),
        ).group_by(newest.c.function_id, part, newest.c.status)
        # A clock that was put back between an id and its run must not make a part of its own.
        found += [Tally(row[0], max(int(row[1]), 0), *row[2:]) for row in connection.execute(query)]
    return found


def tallies_of_all(connection: sa.Connection, parts: Sequence[tuple[int, int]], most: int) -> list[Tally]:
    """Count the newest runs, whatever function they are of, that were queued in each of some stretches of time.

    Args:
        parts: the beginning and the end of each, in milliseconds; at most 500.
        most: so many runs of each are counted.
    """
    run, chosen = schema.run, []
    for number, (since, until) in enumerate(parts):
        in_time = sa.and_(run.c.id >= ids.first_of(max(since, 0)), run.c.id < ids.first_of(max(until, 0)))
        columns = [sa.literal(number, sa.Integer).label("part"), run.c.function_id, run.c.created_at, run.c.status]
        chosen.append(sa.select(sa.select(*columns).where(in_time).order_by(run.c.id.desc()).limit(most).subquery()))
    newest = sa.union_all(*chosen).subquery()
    grouped = [newest.c.function_id, newest.c.part, newest.c.status]
    query = sa.select(*grouped, sa.func.count(), sa.func.min(newest.c.created_at)).group_by(*grouped)
    return [Tally._make(row) for row in connection.execute(query)]


def samples(
    connection: sa.Connection, function_id: str, parts: Sequence[tuple[int, int]], most: int
) -> list[list[RunTimes]]:
    """Give the newest runs of a function that were queued in each of some stretches of time, the newest first.

    Args:
        parts: the beginning and the end of each, in milliseconds; at most 500.
        most: so many runs of each are given.
    """
    run = schema.run
    found: list[list[RunTimes]] = [[] for _ in parts]
    chosen = []
    for number, (since, until) in enumerate(parts):
        columns = [sa.literal(number, sa.Integer).label("part"), *(run.c[name] for name in RunTimes._fields)]
        chosen.append(_newest(connection, columns, function_id, since, until, most))
    for row in connection.execute(sa.union_all(*chosen)):
        found[int(row._mapping["part"])].append(RunTimes._make(row[1:]))
    return [sorted(each, key=lambda times: times.created_at, reverse=True) for each in found]


def last_runs(connection: sa.Connection) -> dict[str, str]:
    """Give the newest run of each function, by its id. It reads one end of an index for each."""
    run, function = schema.run, schema.function
    newest = (
        sa.select(run.c.id).where(run.c.function_id == function.c.id).order_by(run.c.id.desc()).limit(1)
    ).scalar_subquery()
    rows = connection.execute(sa.select(function.c.id, newest))
    return {row[0]: row[1] for row in rows if row[1] is not None}


def held(connection: sa.Connection, function_id: str, most: int) -> int:
    """Count what a paused function holds, up to a number."""
    job = schema.job
    some = sa.select(job.c.key).where(job.c.sweep_at >= HELD_MS, job.c.function_id == function_id).limit(most)
    return int(connection.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar_one())


def put_off(connection: sa.Connection, function_id: str, most: int) -> list[Job]:
    """Give the jobs that wait for more events of a function before they start a run, those that are due first."""
    job = schema.job
    kinds = [JobKind.DEBOUNCE.value, JobKind.BATCH.value]
    query = sa.select(job).where(job.c.subject_id == ids.stand_in(function_id), job.c.kind.in_(kinds))
    return [job_from(row._mapping) for row in connection.execute(query.order_by(job.c.due_at, job.c.key).limit(most))]


def next_sweep_at(connection: sa.Connection) -> int | None:
    """Tell when a sweep has the next thing to look at, in milliseconds; that is past if it is behind."""
    found = connection.execute(sa.select(sa.func.min(schema.job.c.sweep_at))).scalar_one_or_none()
    return None if found is None or found >= HELD_MS else int(found)


def _newest(
    connection: sa.Connection,
    columns: Sequence[sa.ColumnElement[Any]],
    function_id: str,
    since: int,
    until: int | None,
    most: int,
) -> sa.Select[Any]:
    run = schema.run
    query = sa.select(*columns).where(of_function(connection, function_id), run.c.id >= ids.first_of(max(since, 0)))
    if until is not None:
        query = query.where(run.c.id < ids.first_of(max(until, 0)))
    # Its order and limit are its own: not every database takes them inside of a union.
    return sa.select(query.order_by(*(each.desc() for each in BY_FUNCTION)).limit(most).subquery())


def _batched(function_ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [function_ids[start : start + size] for start in range(0, len(function_ids), size)]
