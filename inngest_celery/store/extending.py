"""Recording steps under a job that goes on: its worker waits for an app that does them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery.store import defers, outcomes, runs, schema
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.rows import JobKind, RunStatus, Step, Wait


@dataclass(frozen=True, slots=True)
class Held:
    """A job in somebody's hands, by the fence that it had when it was taken."""

    run_id: str
    key: str
    fence: int


@retried
def extend(
    database: Database, held: Held, steps: Sequence[Step], deferred: Sequence[Wait] = (), *, until: int | None = None
) -> bool:
    """Record steps and leave the job with whoever holds it; false, with nothing written, if it is another's by now.

    Recorded twice is recorded once: the answer to the first time may have been lost.

    Args:
        deferred: what is put off until the run's end.
        until: when the job's lease ends from now on, if the report is what renews it; in milliseconds.
    """
    job = schema.job
    mine = sa.and_(job.c.subject_id == held.run_id, job.c.key == held.key, job.c.fence == held.fence)
    with database.transaction() as connection:
        run = runs.lock(connection, held.run_id)
        if run is None or RunStatus(run.status).ended:
            return False
        # Whoever takes the job over is to read what is recorded, which the start of a run does not. And what comes
        # next is a first attempt.
        renewed = {} if until is None else {"leased_until": until, "sweep_at": until}
        kept = connection.execute(sa.update(job).where(mine).values(kind=JobKind.RESUME.value, attempt=0, **renewed))
        if kept.rowcount != 1 and not connection.execute(sa.select(sa.exists().where(mine))).scalar_one():
            return False
        known = outcomes.recorded(connection, held.run_id, [step.id for step in steps])
        outcomes.append(connection, [step for step in steps if step.id not in known])
        defers.record(connection, held.run_id, deferred)
    return True
