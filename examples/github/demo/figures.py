"""What the board shows, counted in the database while the workers are at it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.store.rows import JobKind, RunStatus

_WORKING = (JobKind.START, JobKind.STEP, JobKind.RESUME)


@dataclass(frozen=True)
class Figures:
    """Counts at one moment.

    Attributes:
        events: all that are stored, those of the engine included.
        runs: how many, by status.
        steps: recorded outcomes.
        retries: failed attempts that another one follows.
        sleeping: sleeps that are not over, retries that are not due included.
        waiting: waits for an event or for an invoked function.
        due: jobs whose time has come, in the hands of a worker or not.
        next_due: when the next job is due, in milliseconds; ``None`` if there is none.
    """

    events: int
    runs: dict[RunStatus, int]
    steps: int
    retries: int
    sleeping: int
    waiting: int
    due: int
    next_due: int | None

    @property
    def ended(self) -> int:
        return sum(count for status, count in self.runs.items() if status.ended)

    @property
    def all_runs(self) -> int:
        return sum(self.runs.values())


def read(database: Database, now: int) -> Figures:
    """Count."""
    event, run, step, attempt, job, wait = (
        schema.event,
        schema.run,
        schema.step,
        schema.attempt,
        schema.job,
        schema.wait,
    )
    with database.autocommit() as connection:

        def count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
            return int(
                connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one()
            )

        by_status = connection.execute(sa.select(run.c.status, sa.func.count()).group_by(run.c.status)).all()
        return Figures(
            events=count(event),
            runs={RunStatus(status): number for status, number in by_status},
            steps=count(step),
            retries=count(attempt, attempt.c.retry_at.is_not(None)),
            sleeping=count(job, job.c.kind.in_(["sleep", "step"]), job.c.due_at > now),
            waiting=count(wait, wait.c.kind != "cancel"),
            due=count(job, job.c.due_at <= now),
            next_due=connection.execute(sa.select(sa.func.min(job.c.due_at))).scalar_one(),
        )


def held(database: Database) -> dict[str, str]:
    """Give what processes are working on a run right now: the lease's owner, and the step in words."""
    job = schema.job
    query = sa.select(job.c.leased_by, job.c.task_name, job.c.name).where(
        job.c.leased_by.is_not(None), job.c.kind.in_(_WORKING)
    )
    with database.autocommit() as connection:
        rows = connection.execute(query).all()
    return {row.leased_by: f"{row.task_name} · {row.name}" if row.name else row.task_name for row in rows}
