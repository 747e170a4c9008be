"""The app of steps that have to be stopped, seen from a web process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from tests.e2e.web import Web
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

APP = "tests.e2e.stops_app"


class Stops(Web):
    """Leases are long: whoever waits for one has failed."""

    def __init__(
        self,
        database_url: str,
        broker_url: str,
        redis_url: str,
        directory: Path,
        start_worker: Callable[..., WorkerProcess],
    ) -> None:
        settings = {"lease": 300, "hint_timeout": 60, "horizon": 5, "retry_interval": 0.1, "redis_url": redis_url}
        super().__init__(APP, database_url, broker_url, directory, start_worker, **settings)

    def begin(self, name: str, **data: object) -> str:
        [event_id] = self.client.send_sync(inngest.Event(name=f"stops/{name}", data=data))
        return event_id

    def end_of(self, event_id: str, timeout: float = 30) -> Any:
        try:
            return self.client.runs.wait(event_id, timeout=timeout)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from error

    def lines(self) -> list[str]:
        return self.journal.read_text().splitlines()

    def wait_for_line(self, beginning: str, count: int = 1) -> None:
        wait_until(
            lambda: sum(line.startswith(beginning) for line in self.lines()) >= count, 30, lambda: str(self.lines())
        )

    def attempts(self) -> list[Any]:
        return self.ask(sa.select(schema.attempt).order_by(schema.attempt.c.run_id))

    def describe(self) -> str:
        why = [str(self.client.runs.why(run.id).reasons) for run in self.client.runs.list() if not run.ended]
        return "\n".join([*self.lines(), *why, *(str(dict(row._mapping)) for row in self.ask(sa.select(schema.job)))])
