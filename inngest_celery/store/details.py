"""What happened in runs and what is still to happen, read for many of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.defers import WAITS
from inngest_celery.store.outcomes import ORDER
from inngest_celery.store.rows import Attempt, Job, Step, Wait
from inngest_celery.store.waits import job_from


@dataclass(slots=True)
class Details:
    """One run from the inside: its steps in the order of completion, and its open waits by step."""

    steps: list[Step] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    waits: dict[str, Wait] = field(default_factory=dict)


def of_runs(connection: sa.Connection, run_ids: Sequence[str]) -> dict[str, Details]:
    """Read the details of runs."""
    found = {run_id: Details() for run_id in run_ids}
    step, attempt, job, wait = schema.step, schema.attempt, schema.job, schema.wait
    for row in connection.execute(sa.select(step).where(step.c.run_id.in_(run_ids)).order_by(*ORDER)):
        found[row.run_id].steps.append(Step(**row._mapping))
    attempts = sa.select(attempt).where(attempt.c.run_id.in_(run_ids))
    for row in connection.execute(attempts.order_by(attempt.c.ended_at, attempt.c.step_id, attempt.c.attempt)):
        found[row.run_id].attempts.append(Attempt(**row._mapping))
    jobs = sa.select(job).where(job.c.subject_id.in_(run_ids))
    for row in connection.execute(jobs.order_by(job.c.created_at, job.c.key)):
        found[row.subject_id].jobs.append(job_from(row._mapping))
    for row in connection.execute(sa.select(wait).where(wait.c.run_id.in_(run_ids), WAITS)):
        found[row.run_id].waits[row.key] = Wait(**row._mapping)
    return found
