"""A web process of an app whose functions other processes run: what tests with real workers send and look up with."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from celery import Celery

import inngest_celery as inngest
from inngest_celery.worker.runtime import Runtime, runtime_of
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess


class Web(ABC):
    """Starts workers of an app, sends to them without having their code, and looks into the database.

    Args:
        app: the workers' app. It reads ``BROKER``, ``JOURNAL`` and ``GATE`` from the environment.
        settings: of the workers, without their prefix; times are short unless they say otherwise.

    Attributes:
        journal: what the bodies write down.
        gate: while this file is there, bodies do not go on.
    """

    def __init__(
        self,
        app: str,
        database_url: str,
        broker_url: str,
        directory: Path,
        start_worker: Callable[..., WorkerProcess],
        **settings: object,
    ) -> None:
        self._app = app
        self._start_worker = start_worker
        self.broker_url = broker_url
        self.journal = directory / "journal"
        self.gate = directory / "gate"
        self.crashes = directory / "crashes"
        self.journal.touch()
        self.crashes.mkdir()
        chosen = {
            "database_url": database_url,
            "lease": 1,
            "hint_timeout": 0.5,
            "horizon": 0.5,
            "sweep_interval": 0.1,
            "retry_interval": 0.05,
            **settings,
        }
        self.environment = {f"INNGEST_{name.upper()}": str(value) for name, value in chosen.items()}
        self.environment |= {"BROKER": broker_url, "JOURNAL": str(self.journal), "GATE": str(self.gate)}
        self.environment["INNGEST_TEST_CRASH"] = str(self.crashes)
        self.celery = Celery("web", broker=broker_url, set_as_current=False)
        # This process does no jobs. A lease as short as the workers' would also have the database end its transactions
        # when a busy machine lets it stand for that long.
        own = {name: value for name, value in chosen.items() if name != "lease"}
        self.celery.conf.update({f"inngest_{name}": value for name, value in own.items()})
        self.client = inngest.Inngest(app_id="web", celery=self.celery)

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.celery)

    def configure(self, **conf: object) -> None:
        """Give Celery settings of its own to this process, and to the workers that are started from now on."""
        self.celery.conf.update(conf)
        self.environment["CONF"] = json.dumps(conf)

    def worker(
        self, *, slice: float | None = None, env: dict[str, str] | None = None, **options: object
    ) -> WorkerProcess:
        """Start a worker; see ``tests.worker_process``. ``slice`` and ``env`` are for this one only."""
        own = {} if slice is None else {"INNGEST_SLICE": str(slice)}
        return self._start_worker(self._app, env={**self.environment, **own, **(env or {})}, **options)

    def close(self) -> None:
        """Close what this process has open."""
        self.runtime.database.dispose()
        self.celery.close()

    def order_crash(self, place: str) -> None:
        """Have the next process that comes to this place killed."""
        (self.crashes / place).touch()

    def wait_for_crash(self, place: str) -> None:
        """Wait until the process was killed there."""
        path = self.crashes / place
        wait_until(lambda: not path.exists(), 60.0, lambda: f"a crash at {place}\n{self.describe()}")

    def ask(self, query: sa.Select[Any]) -> list[Any]:
        with self.runtime.database.autocommit() as connection:
            return list(connection.execute(query))

    def count(self, table: sa.Table) -> int:
        return int(self.ask(sa.select(sa.func.count()).select_from(table))[0][0])

    @abstractmethod
    def describe(self) -> str:
        """What there is, for the report of a failure."""
