"""All that is known of one run, read in one go for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery.store import runs, schema
from inngest_celery.store.database import Database
from inngest_celery.store.defers import WAITS
from inngest_celery.store.rows import Attempt, Event, Job, Run, Step, Wait
from inngest_celery.store.waits import job_from


@dataclass(frozen=True, slots=True)
class History:
    """A run with what has happened, and what is still to happen.

    Attributes:
        event: what started it.
        steps: those with an outcome, in the order in which they ended.
        attempts: those that failed, of steps and of the function's own code (whose ``step_id`` is empty).
        jobs: what is still to be done, the next first.
        waits: the events and runs that it waits for.
    """

    run: Run
    event: Event | None
    steps: list[Step]
    attempts: list[Attempt]
    jobs: list[Job]
    waits: list[Wait]

    def job_of(self, wait: Wait) -> Job | None:
        """Give the job that belongs to a step's wait."""
        return next((job for job in self.jobs if job.key == wait.key), None)


def history_of(database: Database, run_id: str) -> History | None:
    """Read a run's history; ``None`` when there is no such run."""
    event, job, wait = schema.event, schema.job, schema.wait
    with database.autocommit() as connection:
        run = runs.get(connection, run_id)
        if run is None:
            return None
        found = connection.execute(sa.select(event).where(event.c.id == run.event_id)).first()
        jobs = connection.execute(sa.select(job).where(job.c.subject_id == run_id).order_by(job.c.due_at, job.c.key))
        waits = connection.execute(sa.select(wait).where(wait.c.run_id == run_id, WAITS).order_by(wait.c.expires_at))
        return History(
            run=run,
            event=Event(**found._mapping) if found else None,
            steps=runs.steps(connection, run_id),
            attempts=runs.attempts(connection, run_id),
            jobs=[job_from(row._mapping) for row in jobs],
            waits=[Wait(**row._mapping) for row in waits],
        )
