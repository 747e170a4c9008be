"""How far runs are: what somebody who looks on needs, and nothing that may be large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from inngest_celery.store import schema

# More runs than a statement should name are looked up by several.
_AT_ONCE = 200


class RunProgress(NamedTuple):
    id: str
    function_id: str
    status: int
    created_at: int
    started_at: int | None
    ended_at: int | None


class StepProgress(NamedTuple):
    run_id: str
    seq: int
    name: str
    op: str
    failed: bool
    attempt: int
    started_at: int
    ended_at: int


def of_runs(connection: sa.Connection, run_ids: Sequence[str]) -> list[RunProgress]:
    """Read how far these runs are; those that are not there are left out."""
    table, found = schema.run, []
    for start in range(0, len(run_ids), _AT_ONCE):
        wanted = table.c.id.in_(run_ids[start : start + _AT_ONCE])
        columns = [table.c[name] for name in RunProgress._fields]
        found += [RunProgress(*row) for row in connection.execute(sa.select(*columns).where(wanted))]
    return found


def of_steps(connection: sa.Connection, after: Mapping[str, int]) -> list[StepProgress]:
    """Read which steps have an outcome, in the order of their runs.

    Args:
        after: for each run the place of the last step that is known.
    """
    table, found, given = schema.step, [], list(after.items())
    for start in range(0, len(given), _AT_ONCE):
        newer = [
            sa.and_(table.c.run_id == run_id, table.c.seq > seq) for run_id, seq in given[start : start + _AT_ONCE]
        ]
        columns = [table.c[name] for name in StepProgress._fields]
        query = sa.select(*columns).where(sa.or_(*newer)).order_by(table.c.run_id, table.c.seq)
        found += [StepProgress(*row) for row in connection.execute(query)]
    return found


def mark_of_all(connection: sa.Connection) -> tuple[object, ...]:
    """Give what differs as soon as there is a new event or run, or a run has started or ended. It reads index ends."""
    run, event = schema.run, schema.event
    newest = [
        sa.select(run.c.id).order_by(run.c.id.desc()),
        sa.select(run.c.id).where(run.c.started_at.is_not(None)).order_by(run.c.started_at.desc(), run.c.id.desc()),
        sa.select(run.c.id).where(run.c.ended_at.is_not(None)).order_by(run.c.ended_at.desc(), run.c.id.desc()),
        sa.select(event.c.id).order_by(event.c.received_at.desc(), event.c.id.desc()),
    ]
    return tuple(connection.execute(sa.select(*(query.limit(1).scalar_subquery() for query in newest))).one())


def mark_of_run(connection: sa.Connection, run_id: str) -> tuple[object, ...]:
    """Give what differs as soon as something has happened in a run."""
    run, step, attempt, job = schema.run, schema.step, schema.attempt, schema.job
    marks = [
        sa.select(run.c.status).where(run.c.id == run_id),
        sa.select(sa.func.max(step.c.seq)).where(step.c.run_id == run_id),
        sa.select(sa.func.count()).where(attempt.c.run_id == run_id),
        sa.select(sa.func.count()).where(job.c.subject_id == run_id),
        sa.select(sa.func.sum(job.c.fence)).where(job.c.subject_id == run_id),
        sa.select(sa.func.max(job.c.due_at)).where(job.c.subject_id == run_id),
    ]
    return tuple(connection.execute(sa.select(*(query.scalar_subquery() for query in marks))).one())
