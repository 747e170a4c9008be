"""Statements on what steps have cost."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.rows import Cost, values


def record(connection: sa.Connection, rows: Sequence[Cost]) -> list[Cost]:
    """Record what steps of one locked run have cost, before their outcomes are recorded; give what is new.

    A step that has its outcome keeps that, and so it keeps its cost: one is recorded with the other or not at all.
    """
    if not rows:
        return []
    step = schema.step
    query = sa.select(step.c.id).where(step.c.run_id == rows[0].run_id, step.c.id.in_([row.step_id for row in rows]))
    recorded = set(connection.execute(query).scalars())
    new = [row for row in rows if row.step_id not in recorded]
    insert_new(connection, schema.cost, [values(row) for row in new])
    return new
