"""Deleting runs that have ended, with all that is known of them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.conflicts import retried
from inngest_celery.store.rows import JobKind, RunStatus
from inngest_celery.worker.runtime import Runtime

_AT_ONCE = 50
_ENDED = [status.value for status in RunStatus if status.ended]


def delete_ended(runtime: Runtime, run_ids: Sequence[str]) -> int:
    """Delete those of these runs that have ended, with their steps and attempts.

    Their events stay, and what they have cost, which counts against budgets. One whose result is still to be delivered
    to a Celery canvas stays, too. It goes on where it was if it is done again. A run that is deleted no longer keeps
    its event from starting it once more, should that be sent again within its day.

    Returns:
        How many were deleted.
    """
    return sum(_delete(runtime, run_ids[start : start + _AT_ONCE]) for start in range(0, len(run_ids), _AT_ONCE))


@retried
def _delete(runtime: Runtime, run_ids: Sequence[str]) -> int:
    run, job = schema.run, schema.job
    undelivered = sa.select(job.c.subject_id).where(job.c.subject_id == run.c.id, job.c.kind == JobKind.DELIVER.value)
    ended = sa.select(run.c.id).where(run.c.id.in_(run_ids), run.c.status.in_(_ENDED), ~undelivered.exists())
    with runtime.database.transaction() as connection:
        found = connection.execute(ended.order_by(run.c.id).with_for_update()).scalars().all()
        for column in _COLUMNS:
            connection.execute(sa.delete(column.table).where(column.in_(found)))
        return len(found)


_COLUMNS: tuple[sa.Column[str], ...] = (
    schema.job.c.subject_id,
    schema.wait.c.run_id,
    schema.step.c.run_id,
    schema.attempt.c.run_id,
    schema.run_event.c.run_id,
    schema.run.c.id,
)
