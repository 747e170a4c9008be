"""An old fleet and durable functions beside it, with their broker, result backend and database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.clock import SharedClock
from inngest_celery.store import schema
from inngest_celery.store.rows import JobKind, RunStatus
from inngest_celery.worker.runs import RunInfo, Runs
from tests.e2e.web import Web
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

LONG = 60.0


class Fleet(Web):
    """Sends events whose functions ask the old fleet.

    Args:
        backend_url: the result backend of both; empty for none.
        settings: of the workers that have the functions.
    """

    def __init__(
        self,
        database_url: str,
        broker_url: str,
        backend_url: str,
        directory: Path,
        start_worker: Callable[..., WorkerProcess],
        **settings: object,
    ) -> None:
        clock = directory / "clock"
        settings = {"clock": f"file:{clock}", **settings}
        super().__init__("tests.e2e.fleet_app", database_url, broker_url, directory, start_worker, **settings)
        self.clock = SharedClock(clock)
        self.environment["BACKEND"] = backend_url
        self.celery.conf.result_backend = backend_url or None
        self.runs = Runs(self.celery)

    def old_worker(self, **options: object) -> WorkerProcess:
        """Start a worker of the old fleet."""
        kept = ("BROKER", "BACKEND", "JOURNAL", "GATE")
        environment = {name: value for name, value in self.environment.items() if name in kept}
        return self._start_worker("tests.e2e.fleet_old", env=environment, **options)

    def ask_for(self, what: str, **data: Any) -> str:
        """Start a run that asks for something; give the event's id."""
        [event_id] = self.client.send_sync(inngest.Event(name="fleet/ask", data={"what": what, **data}))
        return event_id

    def ended(self, event_id: str) -> RunInfo:
        return self.runs.wait(event_id, timeout=LONG)

    def answer(self, what: str, **data: Any) -> Any:
        run = self.ended(self.ask_for(what, **data))
        assert run.status is RunStatus.COMPLETED, run
        return run.output

    def kept(self) -> list[dict[str, Any]]:
        """What the jobs that look after Celery tasks keep."""
        job = schema.job
        return [
            json.loads(row.opts) for row in self.ask(sa.select(job.c.opts).where(job.c.kind == JobKind.CELERY.value))
        ]

    def sent(self) -> dict[str, Any]:
        """Wait until a task is sent, and give what is kept of it."""
        return wait_until(lambda: next((kept for kept in self.kept() if "sent_at" in kept), None), LONG, self.describe)

    def run_of(self, event_id: str) -> str:
        [run] = self.runs.of_event(event_id)
        return run.id

    def task_ids(self, event_ids: list[str]) -> dict[str, str]:
        """Give the id of the task that each run waits for, once all are sent; empty until then."""
        job = schema.job
        query = sa.select(job.c.subject_id, job.c.opts).where(job.c.kind == JobKind.CELERY.value)
        sent = {row.subject_id: json.loads(row.opts).get("task_id") for row in self.ask(query)}
        found = {each: sent.get(run.id) for each in event_ids for run in self.runs.of_event(each)}
        return {each: str(task_id) for each, task_id in found.items()} if all(map(found.get, event_ids)) else {}

    def forget_messages(self) -> None:
        """Throw away whatever is in the queue of the workers with functions."""
        with self.celery.connection_for_write() as connection:
            connection.default_channel.queue_purge("celery")

    def executions(self) -> Counter[str]:
        """How often each task has begun, by its id."""
        return Counter(line.split()[1] for line in self.journal.read_text().splitlines())

    def describe(self) -> str:
        lines = []
        for table in (schema.run, schema.job, schema.wait, schema.step):
            lines += [f"{table.name}: {dict(row._mapping)}" for row in self.ask(sa.select(table))[:10]]
        return "\n".join(lines)
