"""Functions with limits on a real database and a real Redis, whose worker is the test: it begins and ends by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from celery import Celery

import inngest_celery as inngest
from inngest_celery.flow.places import place_of_job, run_resources
from inngest_celery.store import jobs, schema
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import Job, JobKind
from inngest_celery.store.waits import job_from
from inngest_celery.testing import TravellingClock
from inngest_celery.worker.admission import Slot
from inngest_celery.worker.flow_clock import tell_limits
from inngest_celery.worker.registry import functions_of, synchronise
from inngest_celery.worker.runs import RunInfo, Runs
from inngest_celery.worker.runtime import runtime_of
from inngest_celery.worker.tasks import perform_claimed

HOUR = timedelta(hours=1)


def define_functions(client: inngest.Inngest) -> None:
    """One function for each limit: ``stage/<name>`` starts it, and each has one step, ``work``."""

    def define(fn_id: str, **options: Any) -> None:
        def function(ctx: inngest.ContextSync) -> None:
            ctx.step.run(
                "work", lambda: "done", **({"cost": ctx.event.data["cost"]} if "cost" in ctx.event.data else {})
            )

        client.create_function(fn_id=fn_id, trigger=inngest.TriggerEvent(event=f"stage/{fn_id}"), **options)(function)

    define("one", concurrency=[inngest.Concurrency(limit=1)])
    define("keyed", concurrency=[inngest.Concurrency(limit=1, key="event.data.customer")])
    define("runs", concurrency=inngest.ConcurrencyLevels(fn=[inngest.Concurrency(limit=1)]))
    define("paced", throttle=inngest.Throttle(limit=1, period=timedelta(minutes=1), burst=0))
    define("costly", budget=inngest.Budget(limit=10, period=HOUR, key="event.data.customer"))
    define("rated", rate_limit=inngest.RateLimit(limit=1, period=HOUR))
    define("free")


class Stage:
    """The app, on a clock that the test moves. Its messages go to the broker, and nobody takes them.

    Args:
        app: the app, with its broker; its functions are defined already.
        database_url: an empty database, with tables.
    """

    def __init__(self, app: Celery, database_url: str) -> None:
        app.conf.inngest_database_url = database_url
        self.app = app
        self.runtime = runtime_of(app)
        self.clock = TravellingClock()
        self.runtime.__dict__["clock"] = self.clock
        self.client: inngest.Inngest = next(iter(functions_of(app).values())).client
        self.runs = Runs(app)
        synchronise(self.runtime, functions_of(app).values())
        tell_limits(self.runtime)

    def send(self, name: str, /, *, ts: int = 0, **data: Any) -> RunInfo:
        """Send an event that starts one run, have it routed, and give the run."""
        [event_id] = self.client.send_sync(inngest.Event(name=name, data=data, ts=ts))
        self.perform(event_id, "route")
        [run] = self.runs.of_event(event_id)
        return run

    def jobs(self, subject_id: str) -> list[Job]:
        """Give the jobs of a run, but not its deadlines."""
        job = schema.job
        query = sa.select(job).where(job.c.subject_id == subject_id, job.c.kind != JobKind.DEADLINE.value)
        with self.runtime.database.autocommit() as connection:
            return [job_from(row._mapping) for row in connection.execute(query.order_by(job.c.key))]

    def begin(self, run: RunInfo) -> tuple[Claimed, Slot | None]:
        """Take up the one job of a run, as a worker that has got its message."""
        [job] = self.jobs(run.id)
        slot = None
        if job.flow is not None:
            slot, _ = self.runtime.admission.begin(place_of_job(job), run_resources(job.flow))
            assert slot is not None, "it has to wait"
        return self.claim(job.subject_id, job.key), slot

    def work(self, run: RunInfo) -> BaseException | None:
        """Do what a worker does with the message of a run's one job; give the error of a failed attempt."""
        claimed, slot = self.begin(run)
        return perform_claimed(self.runtime, claimed, "task", slot)

    def perform(self, subject_id: str, key: str) -> None:
        """Do a job that nothing limits."""
        perform_claimed(self.runtime, self.claim(subject_id, key), "task")

    def claim(self, subject_id: str, key: str, *, owner: str = "") -> Claimed:
        now = self.clock.now()
        until = now + self.runtime.settings.lease_ms
        owner = owner or self.runtime.worker_name
        claimed = jobs.claim(self.runtime.database, subject_id, key, owner=owner, now=now, until=until)
        assert claimed is not None, "it is not to be had"
        return claimed

    def pass_time(self, by: timedelta) -> None:
        self.clock.advance(round(by.total_seconds() * 1000))

    def tick(self) -> list[str]:
        """Do what flow control does by the clock; give the runs whose jobs are called."""
        called, _ = self.runtime.admission.tick()
        return [job.subject_id for job in called]

    def close(self) -> None:
        self.runtime.database.dispose()
        self.app.close()


OpenStage = Callable[[], Stage]
