"""Deleting ended runs and events with all that is known of them: the one place that knows which tables that is.

Each function belongs into a transaction that somebody else ends. Runs are locked first, in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.store import schema
from inngest_celery.store.rows import JobKind, RunStatus

ENDED = [status.value for status in RunStatus if status.ended]
Counts = dict[str, int]

_OF_RUNS: tuple[sa.Column[str], ...] = (
    schema.job.c.subject_id,
    schema.wait.c.run_id,
    schema.step.c.run_id,
    schema.attempt.c.run_id,
    schema.run_event.c.run_id,
    schema.subject.c.subject_id,
    schema.run.c.id,
)
# What tells of runs' ends, and goes with them.
TOLD = ("inngest/function.finished", "inngest/function.failed", "inngest/function.cancelled")
CALL = "inngest/function.invoked"


def lock_ended(connection: sa.Connection, run_ids: Collection[str], *, undelivered: bool = False) -> list[str]:
    """Lock those of these runs that have ended, and give their ids.

    Args:
        undelivered: also those whose result is still to be delivered to a Celery canvas.
    """
    run, job = schema.run, schema.job
    query = sa.select(run.c.id).where(run.c.id.in_(run_ids), run.c.status.in_(ENDED))
    if not undelivered:
        waiting = sa.select(job.c.subject_id).where(job.c.subject_id == run.c.id, job.c.kind == JobKind.DELIVER.value)
        query = query.where(~waiting.exists())
    return list(connection.execute(query.order_by(run.c.id).with_for_update()).scalars())


def runs(connection: sa.Connection, run_ids: Sequence[str], *, with_costs: bool = False) -> Counts:
    """Delete locked runs with their steps, attempts and all else that is theirs alone; give the rows by table.

    Args:
        with_costs: also what they have cost, which then counts against no budget any more.
    """
    columns = (schema.cost.c.run_id, *_OF_RUNS) if with_costs else _OF_RUNS
    return {column.table.name: _delete(connection, column, run_ids) for column in columns} if run_ids else {}


def events(connection: sa.Connection, event_ids: Sequence[str]) -> Counts:
    """Delete events, with the jobs that would route them, and from what is collected; give the rows by table."""
    columns = (
        schema.job.c.subject_id,
        schema.run_event.c.event_id,
        schema.subject.c.subject_id,
        schema.event.c.id,
    )
    return {column.table.name: _delete(connection, column, event_ids) for column in columns} if event_ids else {}


def _delete(connection: sa.Connection, column: sa.Column[str], values: Sequence[str]) -> int:
    return connection.execute(sa.delete(column.table).where(column.in_(values))).rowcount


def add(counts: Counts, more: Counts) -> None:
    """Add what was deleted to what was before."""
    for table, number in more.items():
        if number:
            counts[table] = counts.get(table, 0) + number


def started_by(connection: sa.Connection, run_ids: Sequence[str]) -> set[str]:
    """Give the events that have started these runs, alone or with others."""
    run, together = schema.run, schema.run_event
    alone = sa.select(run.c.event_id).where(run.c.id.in_(run_ids))
    joined = sa.select(together.c.event_id).where(together.c.run_id.in_(run_ids))
    return set(connection.execute(sa.union(alone, joined)).scalars())


def told_of(run_id: str) -> list[str]:
    """Give the ids that the events have which tell how a run has ended."""
    return [ids.derived(ids.time_of(run_id), run_id, name) for name in TOLD]


def unneeded(
    connection: sa.Connection,
    event_ids: Collection[str],
    *,
    until: int,
    may_go: Callable[[str, int], bool] = lambda name, at: True,
) -> list[str]:
    """Give those of these events that nothing needs: no run, nothing that is collected or put off, no route job.

    Args:
        until: only those that were received no later, in milliseconds.
        may_go: whether one may be deleted, by its name and when it was received.
    """
    event, run, job, together = schema.event, schema.run, schema.job, schema.run_event
    needed = (
        sa.exists().where(run.c.event_id == event.c.id),
        sa.exists().where(together.c.event_id == event.c.id),
        sa.exists().where(job.c.subject_id == event.c.id),
    )
    query = sa.select(event.c.id, event.c.name, event.c.received_at).where(
        event.c.id.in_(event_ids), event.c.received_at <= until, *(~each for each in needed)
    )
    return [row.id for row in connection.execute(query.order_by(event.c.id)) if may_go(row.name, row.received_at)]


def is_call(name: str) -> bool:
    """Tell whether an event of this name is a call, which may be put off without a trace in other tables."""
    return name == CALL
