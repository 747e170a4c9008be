"""What became of a COMMIT whose answer never came."""

from __future__ import annotations

import enum

import sqlalchemy as sa

from inngest_celery.store import jobs, runs, schema
from inngest_celery.store.changes import Changes
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database


class Fate(enum.Enum):
    """``COMMITTED``: the outcome recorded is this attempt's, and its next job is still this worker's. ``CARRIED_ON``:
    it is this attempt's, and another worker has taken the run over. ``UNDONE``: nothing was written, and the lease is
    still this worker's. ``LOST``: nothing of this attempt was written, and the job is another's, or the run has ended.
    """

    COMMITTED = "committed"
    CARRIED_ON = "carried on"
    UNDONE = "undone"
    LOST = "lost"


@retried
def fate_of(database: Database, changes: Changes) -> Fate:
    """Tell what became of the checkpoint of one step, on another connection.

    The run is locked for it: should the server still be busy with the commit, or with noticing that the client is gone,
    this waits for its decision.
    """
    step, [following] = changes.steps[-1], changes.jobs
    with database.transaction() as connection:
        run = runs.lock(connection, changes.run_id)
        table = schema.step
        query = sa.select(table.c.task_id, table.c.worker, table.c.attempt, table.c.started_at)
        row = connection.execute(query.where(table.c.run_id == step.run_id, table.c.id == step.id)).first()
        if row is not None and tuple(row) == (step.task_id, step.worker, step.attempt, step.started_at):
            onward = jobs.lock(connection, following.subject_id, following.key)
            mine = onward is not None and (onward.fence, onward.leased_by) == (following.fence, following.leased_by)
            return Fate.COMMITTED if mine else Fate.CARRIED_ON
        held = jobs.lock(connection, changes.job.subject_id, changes.job.key)
    undone = run is not None and row is None and held is not None and held.fence == changes.job.fence
    return Fate.UNDONE if undone else Fate.LOST
