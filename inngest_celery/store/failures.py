"""The runs that failed last, as far as is needed to tell their errors apart."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus


class FailedRun(NamedTuple):
    """A run that failed. ``output`` is JSON text: its error."""

    id: str
    function_id: str
    ended_at: int | None
    output: str | None


def latest(connection: sa.Connection, limit: int, function_id: str | None = None) -> list[FailedRun]:
    """Give runs that have failed, the newest first: an index has them in this order."""
    table = schema.run
    query = sa.select(table.c.id, table.c.function_id, table.c.ended_at, table.c.output)
    query = query.where(table.c.status == RunStatus.FAILED.value)
    if function_id:
        query = query.where(table.c.function_id == function_id)
    return [FailedRun(*row) for row in connection.execute(query.order_by(table.c.id.desc()).limit(limit))]
