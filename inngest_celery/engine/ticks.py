"""Cron: each schedule of a function is one job, due at its next tick. Done, it moves on to the tick after."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.engine import cron, starting
from inngest_celery.engine.accepting import accept
from inngest_celery.engine.announcing import announced
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.lifecycle import TIMER
from inngest_celery.engine.spec import CronTrigger, read_spec
from inngest_celery.engine.terms import Terms
from inngest_celery.store import events, jobs, runs
from inngest_celery.store.changes import Applied
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import Event, Job, JobKind

TICK_TASK = "inngest.tick"
# A tick that starts later than this was missed: nothing ran that could have started it.
LATE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Ticker:
    """Starts the runs of cron triggers. Times are milliseconds.

    Attributes:
        terms: what this worker brings to the jobs that it makes.
        run_latest: whether the latest of several missed ticks is run; else only a tick that is on time is.
    """

    database: Database
    terms: Terms
    run_latest: bool

    @retried
    def tick(self, job: Job, function: FunctionRow | None, now: int) -> Applied:
        """Start the run of a due tick and move the job on; in one transaction.

        Args:
            job: the schedule's job, leased to this worker.
            function: its function, if it is still there.
            now: milliseconds.
        """
        return starting.with_topics(self.database, lambda: self._tick(job, function, now))

    def _tick(self, job: Job, function: FunctionRow | None, now: int) -> Applied:
        opts, terms = json.loads(job.opts or "{}"), self.terms
        with self.database.transaction() as connection:
            trigger = _trigger(function, opts["cron"])
            if function is None or trigger is None:
                jobs.end(connection, job)
                return Applied()
            starting.lock_topics(connection, read_spec(function.config))
            schedule = cron.parse(trigger.cron)
            due = int(opts["scheduled_at"])
            latest = schedule.latest_between(due, now)
            late = now - job.due_at > LATE_MS
            again = _job(function, trigger, now, terms.horizon_ms, job.queue)
            announced(again, now=now, hint_ms=terms.hint_ms, horizon_ms=terms.horizon_ms)
            if not jobs.update(connection, job, replace(again, fence=job.fence)):
                return Applied(refused=True)
            if late and not self.run_latest:
                return Applied(jobs=[again])
            started = self._start(connection, function, trigger, latest if latest is not None else due, now)
        return Applied(jobs=[again, *started])

    def _start(
        self, connection: sa.Connection, function: FunctionRow, trigger: CronTrigger, scheduled_at: int, now: int
    ) -> list[Job]:
        """Start the run of one tick, unless it has been started before."""
        event_id = ids.derived(scheduled_at, function.id, trigger.cron, str(scheduled_at))
        data = json.dumps({"cron": trigger.cron, "scheduledAt": scheduled_at, "fireAt": now})
        run_id = ids.derived(scheduled_at, function.id, trigger.cron, str(scheduled_at), "run")
        if runs.get(connection, run_id) is not None:
            return []
        event = Event(event_id, TIMER, event_id, data, now, now)
        events.insert(connection, [event])
        return accept(connection, self.terms, function, Arrival(event), now, run_id=run_id).jobs


def schedule(connection: sa.Connection, function: FunctionRow, now: int, *, horizon_ms: int, queue: str) -> None:
    """Make the jobs of a function's schedules, where there are none yet. One that is gone ends at its next tick."""
    spec = read_spec(function.config)
    jobs.insert(connection, [_job(function, trigger, now, horizon_ms, queue) for trigger in spec.crons])


def _job(function: FunctionRow, trigger: CronTrigger, now: int, horizon_ms: int, queue: str) -> Job:
    scheduled_at = cron.parse(trigger.cron).next_after(now)
    jitter = cron.jitter_ms(f"{function.id}:{trigger.cron}:{scheduled_at}", trigger.jitter)
    due_at = scheduled_at + jitter
    return Job(
        subject_id=ids.stand_in(function.id),
        key=f"cron:{ids.stand_in(trigger.cron)}",
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
