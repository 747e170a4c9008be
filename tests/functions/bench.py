"""A test bench: functions on an app of their own, run by the real engine on a real database, without a broker."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from celery import Celery

import inngest_celery as inngest
from inngest_celery.store import defers, jobs, rows, runs, schema
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import JobKind, RunStatus, Step
from inngest_celery.testing import Inline, TravellingClock
from inngest_celery.worker.runs import RunInfo
from inngest_celery.worker.runtime import runtime_of
from inngest_celery.worker.tasks import perform_claimed
from tests.whole import whole

GO = inngest.TriggerEvent(event="test/go")
YEAR = timedelta(days=400)


class Bench:
    """Defines functions and runs them.

    Args:
        database_url: a database of the test's own.
        hot: whether a worker keeps a run and takes its next steps itself; else every step is a job of its own.
        clock: what tells the time; if left out, it goes on.
        settings: what ``inngest_…`` settings should be instead of their defaults.

    Attributes:
        calls: how often each body noted that it ran.
    """

    def __init__(
        self, database_url: str, *, hot: bool = True, clock: TravellingClock | None = None, **settings: object
    ) -> None:
        self.hot = hot
        self.app = Celery("bench", broker="memory://", set_as_current=False)
        # Long enough for a test: a run goes cold where the test says so, not where the machine is slow.
        defaults: dict[str, object] = {"inngest_slice": 60 if hot else 0, "inngest_database_url": database_url}
        self.app.conf.update({**defaults, **settings})
        self.client = inngest.Inngest(app_id="app", celery=self.app)
        self.calls: Counter[str] = Counter()
        self._database_url = database_url
        self._clock = clock

    def function(self, fn_id: str = "fn", **options: Any) -> Any:
        """Define a function; it is triggered by ``test/go`` unless the options say otherwise."""
        return self.client.create_function(**{"fn_id": fn_id, "trigger": GO, **options})

    @cached_property
    def inline(self) -> Inline:
        return Inline(self.app, database_url=self._database_url, clock=self._clock)

    @property
    def now(self) -> int:
        """The bench's time in milliseconds."""
        return self.inline.clock.now()

    @property
    def database(self) -> Any:
        return runtime_of(self.app).database

    def send(self, name: str = "test/go", /, **data: Any) -> list[RunInfo]:
        """Send an event and do all that is due; give the runs that it started."""
        return self.inline.send(inngest.Event(name=name, data=data))

    def run(self, name: str = "test/go", /, **data: Any) -> RunInfo:
        """Send an event that starts one run, and give that run as it stands when nothing more is due."""
        [run] = self.send(name, **data)
        return self.get(run)

    def advance(self, **by: float) -> None:
        """Let so much time pass (arguments as of ``timedelta``), doing what becomes due."""
        self.inline.advance(timedelta(**by))

    def finish(self, run: RunInfo | None = None) -> RunInfo:
        """Start a run if none is given, let time pass until nothing more is due, and give the run as it ended."""
        run = run or self.run()
        self.inline.advance(YEAR)
        return self.get(run)

    def dump(self) -> str:
        """Give everything that is in the database."""
        with self.database.autocommit() as connection:
            return "\n".join(whole(connection.execute(sa.select(table))) for table in schema.metadata.sorted_tables)

    def get(self, run: RunInfo) -> RunInfo:
        return self.inline.runs.get(run.id)

    def output(self, run: RunInfo | None = None) -> Any:
        """Let a run end, well, and give its output."""
        ended = self.finish(run)
        assert ended.status is RunStatus.COMPLETED, ended
        return ended.output

    def error(self, run: RunInfo | None = None) -> Any:
        """Let a run end, in failure, and give its error."""
        ended = self.finish(run)
        assert ended.status is RunStatus.FAILED, ended
        return ended.output

    # What is stored

    def steps(self, run: RunInfo) -> list[Step]:
        with self.database.autocommit() as connection:
            return runs.steps(connection, run.id)

    def attempts(self, run: RunInfo) -> list[rows.Attempt]:
        with self.database.autocommit() as connection:
            return runs.attempts(connection, run.id)

    def rows(self, table: sa.Table, **where: object) -> list[Any]:
        query = sa.select(table)
        for column, value in where.items():
            query = query.where(table.c[column] == value)
        with self.database.autocommit() as connection:
            return list(connection.execute(query))

    def jobs(self, run: RunInfo) -> list[Any]:
        return self.rows(schema.job, subject_id=run.id)

    def rows_of_crons(self) -> list[Any]:
        return self.rows(schema.job, kind=JobKind.CRON.value)

    def events(self, name: str) -> list[Any]:
        return self.rows(schema.event, name=name)

    # A worker's work, by hand

    def claim(self, subject_id: str, key: str, owner: str = "other") -> Claimed | None:
        """Take a job's lease, as a worker does when a hint comes."""
        runtime, now = runtime_of(self.app), self.now
        until = now + runtime.settings.lease_ms
        return jobs.claim(runtime.database, subject_id, key, owner=owner, now=now, until=until)

    def perform(self, claimed: Claimed) -> BaseException | None:
        """Do a claimed job."""
        return perform_claimed(runtime_of(self.app), claimed, "task")

    def route(self, event_id: str) -> None:
        """Route an event, as a worker does."""
        claimed = self.claim(event_id, "route")
        assert claimed is not None
        self.perform(claimed)

    # At the end

    def close(self) -> None:
        if "inline" in self.__dict__:
            self.inline.close()
        self.app.close()

    def check(self) -> None:
        """Assert that nothing is left of ended runs, and that every other run has something that carries it on."""
        if "inline" not in self.__dict__:
            return
        ended = {row.id for row in self.rows(schema.run) if RunStatus(row.status).ended}
        places = {row.id for row in self.rows(schema.run) if row.singleton_key}
        assert not places & ended, "ended runs that nobody may follow"
        going_on = {row.id for row in self.rows(schema.run)} - ended
        left = self.rows(schema.job)
        waits = self.rows(schema.wait)
        assert not [job for job in left if job.subject_id in ended], "jobs of ended runs"
        assert not [wait for wait in waits if wait.run_id in ended], "waits of ended runs"
        carried_on = {job.subject_id for job in left if job.kind != JobKind.DEADLINE}
        assert going_on <= carried_on, "runs that nothing carries on"
        timeouts = {(job.subject_id, job.key) for job in left if job.kind == JobKind.TIMEOUT}
        steps = {(wait.run_id, wait.key) for wait in waits if wait.kind not in ("cancel", defers.ADD, defers.ABORT)}
        assert steps <= timeouts, "waits without an end"
        others = [job for job in left if job.subject_id not in going_on and job.kind != JobKind.CRON]
        assert not [job for job in others if job.due_at <= self.now], "jobs that nobody did"
        pending = {json.loads(job.opts)["run"] for job in left if job.kind in (JobKind.DEBOUNCE, JobKind.BATCH)}
        starters = {row.run_id for row in self.rows(schema.run_event)}
        assert starters <= ended | going_on | pending, "events of a run that will never be"
