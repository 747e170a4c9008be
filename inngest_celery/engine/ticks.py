"""Cron: each schedule of a function is one job, due at its next tick. Done, it moves on to the tick after."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.engine import cron
from inngest_celery.engine.announcing import announced, start_job
from inngest_celery.engine.lifecycle import TIMER
from inngest_celery.engine.spec import CronTrigger, read_spec
from inngest_celery.store import events, jobs, runs
from inngest_celery.store.changes import Applied
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import Event, Job, JobKind, Run, RunStatus

TICK_TASK = "inngest.tick"
# A tick that starts later than this was missed: nothing ran that could have started it.
LATE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Ticker:
    """Starts the runs of cron triggers. Times are milliseconds.

    Attributes:
        run_latest: whether the latest of several missed ticks is run; else only a tick that is on time is.
    """

    database: Database
    hint_ms: int
    horizon_ms: int
    run_latest: bool

    @retried
    def tick(self, job: Job, function: FunctionRow | None, now: int) -> Applied:
        """Start the run of a due tick and move the job on; in one transaction.

        Args:
            job: the schedule's job, leased to this worker.
            function: its function, if it is still there.
            now: milliseconds.
        """
        opts = json.loads(job.opts or "{}")
        with self.database.transaction() as connection:
            trigger = _trigger(function, opts["cron"])
            if function is None or trigger is None:
                jobs.end(connection, job)
                return Applied()
            schedule = cron.parse(trigger.cron)
            due = int(opts["scheduled_at"])
            latest = schedule.latest_between(due, now)
            late = now - job.due_at > LATE_MS
            again = _job(function, trigger, now, self.horizon_ms, job.queue)
            announced(again, now=now, hint_ms=self.hint_ms, horizon_ms=self.horizon_ms)
            if not jobs.update(connection, job, replace(again, fence=job.fence)):
                return Applied(refused=True)
            if late and not self.run_latest:
                return Applied(jobs=[again])
            first = self._start(connection, function, trigger, latest if latest is not None else due, now)
        return Applied(jobs=[again, *first])

    def _start(
        self, connection: sa.Connection, function: FunctionRow, trigger: CronTrigger, scheduled_at: int, now: int
    ) -> list[Job]:
        """Start the run of one tick, unless it has been started before."""
        event_id = ids.derived(scheduled_at, function.id, trigger.cron, str(scheduled_at))
        data = json.dumps({"cron": trigger.cron, "scheduledAt": scheduled_at, "fireAt": now})
        run_id = ids.derived(scheduled_at, function.id, trigger.cron, str(scheduled_at), "run")
        if runs.get(connection, run_id) is not None:
            return []
        events.insert(connection, [Event(event_id, TIMER, event_id, data, now, now)])
        runs.insert(connection, Run(run_id, function.id, event_id, None, RunStatus.SCHEDULED.value, now))
        job = start_job(function, run_id, now=now, due_at=now, hint_ms=self.hint_ms, horizon_ms=self.horizon_ms)
        jobs.insert(connection, [job])
        return [job]


def schedule(connection: sa.Connection, function: FunctionRow, now: int, *, horizon_ms: int, queue: str) -> None:
    """Make the jobs of a function's schedules, where there are none yet. One that is gone ends at its next tick."""
    spec = read_spec(function.config)
    jobs.insert(connection, [_job(function, trigger, now, horizon_ms, queue) for trigger in spec.crons])


def _job(function: FunctionRow, trigger: CronTrigger, now: int, horizon_ms: int, queue: str) -> Job:
    scheduled_at = cron.parse(trigger.cron).next_after(now)
    jitter = cron.jitter_ms(f"{function.id}:{trigger.cron}:{scheduled_at}", trigger.jitter)
    due_at = scheduled_at + jitter
    return Job(
        subject_id=_digest(function.id),
        key=f"cron:{_digest(trigger.cron)}",
        kind=JobKind.CRON,
        name="",
        function_id=function.id,
        task_name=TICK_TASK,
        queue=queue,
        opts=json.dumps({"cron": trigger.cron, "scheduled_at": scheduled_at}),
        created_at=now,
        due_at=due_at,
        sweep_at=max(now, due_at - horizon_ms),
    )


def _trigger(function: FunctionRow | None, expression: str) -> CronTrigger | None:
    if function is None or function.archived_at is not None:
        return None
    return next((each for each in read_spec(function.config).crons if each.cron == expression), None)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:26]
