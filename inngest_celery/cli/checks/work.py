"""Jobs that nobody does."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from inngest_celery.cli.checks.findings import Deployment, Finding, problem, warning
from inngest_celery.cli.output import duration
from inngest_celery.store import leases, schema

_MANY_HINTS = 4


def sweep(deployment: Deployment) -> Iterator[Finding]:
    """Somebody must hold the sweep's lease, and jobs must not wait for it."""
    if not deployment.migrated:
        return
    now = deployment.runtime.clock.now()
    late = now - round(deployment.settings.sweep_interval * 10_000) - 10_000
    job = schema.job
    with deployment.runtime.database.autocommit() as connection:
        held = leases.holder(connection, leases.SWEEP)
        query = sa.select(sa.func.count(), sa.func.min(job.c.sweep_at)).where(job.c.sweep_at < late)
        count, oldest = connection.execute(query).one()
    if count:
        yield problem(
            "jobs_overdue",
            f"{count} job(s) should have been looked at by a sweep, the first {duration(now - oldest)} ago.",
            "Workers of this app sweep by themselves: start one, and see whether its log says `The sweep fails`.",
        )
    elif held is None or held[1] < now:
        yield warning(
            "sweep_not_running",
            "No worker sweeps, so nothing looks for lost messages, dead workers and jobs whose time comes.",
            "Start a worker of this app. If one runs, see that its -A is this app, and that it imports a function.",
        )


def unanswered(deployment: Deployment) -> Iterator[Finding]:
    """Jobs whose messages nobody takes."""
    if not deployment.migrated:
        return
    job = schema.job
    query = (
        sa.select(job.c.queue, job.c.task_name, sa.func.count(), sa.func.max(job.c.hints))
        .where(job.c.hints >= _MANY_HINTS, job.c.leased_by.is_(None))
        .group_by(job.c.queue, job.c.task_name)
        .order_by(job.c.queue, job.c.task_name)
    )
    with deployment.runtime.database.autocommit() as connection:
        rows = connection.execute(query).all()
    for queue, task_name, count, hints in rows:
        yield warning(
            "jobs_unanswered",
            f"{count} job(s) of task {task_name} on queue {queue} were announced up to {hints} times, in vain.",
            f"Either queue {queue} is long (add workers), or no worker consumes it (-Q {queue}), or none of those that "
            "do knows the task (see their list of [tasks] at the start).",
        )
