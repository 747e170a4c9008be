"""Statements that tell Redis anew what it has forgotten: who executes, who waits, what operators have set."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.store import schema
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.rows import Event, Job, RunStatus
from inngest_celery.store.waits import job_from

_PAGE = 500
_MOST_STARTS = 5000


@dataclass(frozen=True, slots=True)
class SetLimit:
    """What an operator has set instead of what a function's code says. ``config`` is JSON text, times milliseconds."""

    function_id: str
    policy: str
    config: str
    expires_at: int | None
    set_at: int


def limited_jobs(connection: sa.Connection, function_ids: Sequence[str], due_by: int) -> Iterator[Job]:
    """Give the jobs of these functions that something limits and that are due, a page at a time."""
    table = schema.job
    last: tuple[str, str] | None = None
    while True:
        query = sa.select(table).where(
            table.c.function_id.in_(function_ids), table.c.flow.is_not(None), table.c.due_at <= due_by
        )
        if last is not None:
            query = query.where(sa.tuple_(table.c.subject_id, table.c.key) > sa.tuple_(*map(sa.literal, last)))
        page = [
            job_from(row._mapping)
            for row in connection.execute(query.order_by(table.c.subject_id, table.c.key).limit(_PAGE))
        ]
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1].subject_id, page[-1].key


def find_jobs(connection: sa.Connection, names: Sequence[tuple[str, str]]) -> list[Job]:
    """Give those of these jobs that are there."""
    if not names:
        return []
    table = schema.job
    query = sa.select(table).where(sa.tuple_(table.c.subject_id, table.c.key).in_(names))
    return [job_from(row._mapping) for row in connection.execute(query)]


def started_runs(connection: sa.Connection, function_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give the runs that have started and not ended, each with what its jobs carry of its limits."""
    run, job = schema.run, schema.job
    query = (
        sa.select(run.c.id, sa.func.min(job.c.flow))
        .join_from(run, job, job.c.subject_id == run.c.id)
        .where(run.c.status == RunStatus.RUNNING.value, run.c.function_id.in_(function_ids), job.c.flow.is_not(None))
        .group_by(run.c.id)
    )
    for row in connection.execute(query):
        yield row[0], row[1]


def starters(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, Event]:
    """Give the events that started these runs, by run."""
    run, event = schema.run, schema.event
    query = sa.select(event, run.c.id.label("run_id")).join_from(run, event, event.c.id == run.c.event_id)
    found = {}
    for row in connection.execute(query.where(run.c.id.in_(sorted(run_ids)))):
        columns = dict(row._mapping)
        run_id = columns.pop("run_id")
        found[run_id] = Event(**columns)
    return found


def unended(connection: sa.Connection, run_ids: Sequence[str]) -> set[str]:
    """Give those of these runs that have not ended."""
    run = schema.run
    query = sa.select(run.c.id).where(run.c.id.in_(run_ids), run.c.status < RunStatus.COMPLETED.value)
    return set(connection.execute(query).scalars())


def last_start(connection: sa.Connection, function_id: str) -> int | None:
    """Tell when a function's latest runs have last started, in milliseconds."""
    run = schema.run
    latest = (
        sa.select(run.c.started_at).where(run.c.function_id == function_id).order_by(run.c.id.desc()).limit(_PAGE)
    ).subquery()
    found = connection.execute(sa.select(sa.func.max(latest.c.started_at))).scalar_one_or_none()
    return None if found is None else int(found)


def events_started_since(connection: sa.Connection, function_id: str, since: int) -> list[tuple[Event, int]]:
    """Give the events that have started runs of a function lately, and when: the latest, the oldest first."""
    run, event = schema.run, schema.event
    query = (
        sa.select(event, run.c.created_at.label("run_created_at"))
        .join_from(run, event, event.c.id == run.c.event_id)
        .where(
            run.c.function_id == function_id,
            # Ids begin with the time, and so the index serves; a run is made at the time of its id.
            run.c.id >= ids.first_of(since),
            run.c.status != RunStatus.SKIPPED.value,
        )
        .order_by(run.c.id.desc())
        .limit(_MOST_STARTS)
    )
    found = []
    for row in connection.execute(query):
        columns = dict(row._mapping)
        created_at = columns.pop("run_created_at")
        found.append((Event(**columns), created_at))
    return found[::-1]


def spent_by_part(connection: sa.Connection, function_id: str, since: int, width: int) -> list[tuple[str, int, float]]:
    """Sum up what was spent of a function's budgets, by parts of a window.

    Args:
        since: milliseconds.
        width: of a part, in milliseconds.

    Returns:
        The budget, the part (its time divided by the width), and the sum.
    """
    cost = schema.cost
    part = cost.c.at // sa.literal(width, sa.BigInteger)
    query = (
        sa.select(cost.c.budget, part, sa.func.sum(cost.c.amount))
        .where(cost.c.at >= since, _budgets_of(function_id))
        .group_by(cost.c.budget, part)
    )
    return [(row[0], int(row[1]), float(row[2])) for row in connection.execute(query)]


def most_spent(connection: sa.Connection, function_id: str, since: int, most: int) -> list[tuple[str, float, str]]:
    """Give the budgets of a function of which most was spent since then (milliseconds): name, sum, and one run."""
    cost = schema.cost
    total = sa.func.sum(cost.c.amount)
    query = (
        sa.select(cost.c.budget, total, sa.func.max(cost.c.run_id))
        .where(cost.c.at > since, _budgets_of(function_id))
        .group_by(cost.c.budget)
        .order_by(total.desc(), cost.c.budget)
        .limit(most)
    )
    return [(row[0], float(row[1]), row[2]) for row in connection.execute(query)]


def _budgets_of(function_id: str) -> sa.ColumnElement[bool]:
    budget, own = schema.cost.c.budget, f"{function_id}:budget"
    return sa.or_(budget == own, budget.startswith(f"{own}:", autoescape=True))


def set_limits(connection: sa.Connection, now: int) -> list[SetLimit]:
    """Give all that operators have set and that holds still."""
    table = schema.limit
    query = sa.select(table).where(sa.or_(table.c.expires_at.is_(None), table.c.expires_at > now))
    return [SetLimit(**row._mapping) for row in connection.execute(query)]


def put(connection: sa.Connection, limit: SetLimit) -> None:
    """Store what an operator sets, in the place of what was set before."""
    table, columns = schema.limit, asdict(limit)
    # Both may be done at once by two operators: whichever comes later holds.
    insert_new(connection, table, [columns])
    mine = sa.and_(table.c.function_id == limit.function_id, table.c.policy == limit.policy)
    connection.execute(sa.update(table).where(mine).values(**columns))


def drop(connection: sa.Connection, function_id: str, policy: str) -> bool:
    """Delete what an operator has set; false when nothing is."""
    table = schema.limit
    dropped = connection.execute(sa.delete(table).where(table.c.function_id == function_id, table.c.policy == policy))
    return dropped.rowcount == 1


def drop_expired(connection: sa.Connection, now: int) -> list[SetLimit]:
    """Delete what has expired; give it."""
    table, dropped = schema.limit, []
    expired = sa.select(table).where(table.c.expires_at <= now)
    for each in [SetLimit(**row._mapping) for row in connection.execute(expired)]:
        mine = sa.and_(table.c.function_id == each.function_id, table.c.policy == each.policy)
        # It may have been set anew meanwhile.
        if connection.execute(sa.delete(table).where(mine, table.c.expires_at == each.expires_at)).rowcount == 1:
            dropped.append(each)
    return dropped
