"""Which runs have started and ended since a position, page by page, and what was done in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus

# Upper bounds of durations, in milliseconds.
BUCKETS_MS = (
    *(5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000),
    *(1_800_000, 3_600_000, 86_400_000, 604_800_000),
)


@dataclass(frozen=True, slots=True)
class Position:
    """Behind which run a page begins: its time in milliseconds, and its id."""

    at: int
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Passed:
    """A run that has started, or ended. Times are milliseconds."""

    id: str
    function_id: str
    status: RunStatus
    created_at: int
    started_at: int | None
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class StepCount:
    """Steps that are alike.

    Attributes:
        op: the step's operation, as ``StepRun``.
        total_ms: how long they took together.
        within: for each of :data:`BUCKETS_MS`, how many of them took no longer.
    """

    function_id: str
    op: str
    failed: bool
    count: int
    total_ms: int
    within: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """Attempts that have failed; ``retried``: another one was to follow."""

    function_id: str
    retried: bool
    count: int


def started(connection: sa.Connection, after: Position, until: int, limit: int) -> list[Passed]:
    """Give runs in the order of their starts, up to a time in milliseconds."""
    return _page(connection, schema.run.c.started_at, after, until, limit)


def ended(connection: sa.Connection, after: Position, until: int, limit: int) -> list[Passed]:
    """Give runs in the order of their ends, up to a time in milliseconds."""
    return _page(connection, schema.run.c.ended_at, after, until, limit)


def _page(
    connection: sa.Connection, column: sa.ColumnElement[int | None], after: Position, until: int, limit: int
) -> list[Passed]:
    table = schema.run
    wanted = [table.c[name] for name in Passed.__slots__]
    # The first condition says nothing new, but is one that an index serves.
    behind = sa.and_(column >= after.at, sa.or_(column > after.at, table.c.id > after.run_id), column <= until)
    query = sa.select(*wanted).where(behind).order_by(column, table.c.id).limit(limit)
    return [Passed(**{**row._mapping, "status": RunStatus(row.status)}) for row in connection.execute(query)]


def steps(connection: sa.Connection, run_ids: Sequence[str]) -> list[StepCount]:
    """Count the steps of runs."""
    run, step = schema.run, schema.step
    # Two machines' clocks may have told when one began and when it ended.
    took = sa.case((step.c.ended_at > step.c.started_at, step.c.ended_at - step.c.started_at), else_=0)
    within = [sa.func.sum(sa.case((took <= bound, 1), else_=0)) for bound in BUCKETS_MS]
    kinds = (run.c.function_id, step.c.op, step.c.failed)
    query = sa.select(*kinds, sa.func.count(), sa.func.sum(took), *within).join_from(
        run, step, step.c.run_id == run.c.id
    )
    found = []
    for row in connection.execute(query.where(run.c.id.in_(run_ids)).group_by(*kinds)):
        function_id, op, failed, count, total, *within_each = tuple(row)
        found.append(StepCount(function_id, op, bool(failed), count, int(total), tuple(map(int, within_each))))
    return found


def failed_attempts(connection: sa.Connection, run_ids: Sequence[str]) -> list[AttemptCount]:
    """Count the attempts of runs that failed."""
    run, attempt = schema.run, schema.attempt
    kinds = (run.c.function_id, attempt.c.retry_at.is_not(None))
    query = sa.select(*kinds, sa.func.count()).join_from(run, attempt, attempt.c.run_id == run.c.id)
    found = connection.execute(query.where(run.c.id.in_(run_ids)).group_by(*kinds))
    return [AttemptCount(function_id, bool(retried), count) for function_id, retried, count in found]
