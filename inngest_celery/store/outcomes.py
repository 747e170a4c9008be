"""Recording what steps gave, each with its place in the order of its run.

A worker that is alone with a run has seen all that is recorded, so it knows the place. Where others may record too, the
place is counted under the run's lock.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.rows import Step, values

# Steps that a release recorded which did not number them have no order but their times.
ORDER = (schema.step.c.seq, schema.step.c.ended_at, schema.step.c.id)


def record(connection: sa.Connection, steps: Sequence[Step]) -> None:
    """Record outcomes. A step that has one keeps it: the recorded row wins."""
    insert_new(connection, schema.step, [values(step) for step in steps])


def append(connection: sa.Connection, steps: Sequence[Step]) -> None:
    """Record outcomes of one locked run after all that it has."""
    if steps:
        number(steps, after=count(connection, steps[0].run_id))
        record(connection, steps)


def number(steps: Sequence[Step], *, after: int) -> None:
    """Give outcomes the places after so many others."""
    for place, step in enumerate(steps, start=after + 1):
        step.seq = place


def recorded(connection: sa.Connection, run_id: str, step_ids: Sequence[str]) -> set[str]:
    """Give those of these steps that have an outcome."""
    table = schema.step
    query = sa.select(table.c.id).where(table.c.run_id == run_id, table.c.id.in_(step_ids))
    return set(connection.execute(query).scalars())


def count(connection: sa.Connection, run_id: str) -> int:
    table = schema.step
    return int(connection.execute(sa.select(sa.func.count()).where(table.c.run_id == run_id)).scalar_one())
