"""What the database knows of a run that has not ended."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery.engine.viewing import Eyes
from inngest_celery.store import events, functions, limits, schema
from inngest_celery.store.database import Database
from inngest_celery.store.defers import WAITS
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.limits import SetLimit
from inngest_celery.store.rows import Attempt, Event, Job, JobKind, Wait
from inngest_celery.store.waits import job_from
from inngest_celery.worker.runs import RunInfo
from inngest_celery.worker.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Situation:
    """A run that has not ended.

    Attributes:
        attempts: the last failed one of each step, by the step's hash; empty for the function's own code.
        set_limits: what operators have set for the function, by policy.
    """

    run: RunInfo
    event: Event | None
    function: FunctionRow | None
    jobs: list[Job]
    waits: dict[str, Wait]
    attempts: dict[str, Attempt]
    set_limits: dict[str, SetLimit]


def read(database: Database, run: RunInfo, now: int, eyes: Eyes) -> Situation:
    """Read it, as somebody sees it."""
    job, wait, attempt = schema.job, schema.wait, schema.attempt
    with database.autocommit() as connection:
        jobs = connection.execute(sa.select(job).where(job.c.subject_id == run.id).order_by(job.c.due_at, job.c.key))
        waits = connection.execute(sa.select(wait).where(wait.c.run_id == run.id, WAITS))
        failed = connection.execute(
            sa.select(attempt).where(attempt.c.run_id == run.id).order_by(attempt.c.ended_at, attempt.c.attempt)
        )
        overrides = limits.set_limits(connection, now)
        event = events.get(connection, run.event_id)
        name = None if event is None else event.name
        return Situation(
            run=run,
            event=event and eyes.event(event),
            function=functions.get(connection, run.function_id),
            jobs=[job_from(row._mapping) for row in jobs],
            waits={row.key: eyes.wait(Wait(**row._mapping)) for row in waits},
            # Of several, the last one stays.
            attempts={row.step_id: eyes.attempt(Attempt(**row._mapping), run.function_id, name) for row in failed},
            set_limits={each.policy: each for each in overrides if each.function_id == run.function_id},
        )


def route_job_of(runtime: Runtime, event_id: str) -> Job | None:
    """Give the job that is still to route an event."""
    job = schema.job
    query = sa.select(job).where(job.c.subject_id == event_id, job.c.kind == JobKind.ROUTE.value)
    with runtime.database.autocommit() as connection:
        row = connection.execute(query).first()
    return None if row is None else job_from(row._mapping)
