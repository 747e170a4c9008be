"""What the demos of the examples have in common: a stack of their own, real workers, and a clock that can be moved."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from celery import Celery
from rich.console import Console

from examples.workers import Worker
from inngest_celery.clock import SharedClock
from inngest_celery.embedded import Embedded
from inngest_celery.store import schema
from inngest_celery.store.migrate import upgrade
from inngest_celery.worker.runtime import runtime_of

QUIET_SECONDS = 60.0
_LOOK_SECONDS = 0.05
# What is due within so long of the next due job is done together with it. A cron tick is late after a minute.
TOGETHER_MS = 45_000
SETTINGS = {
    # A dead worker's jobs move on after the lease. The default of 30 s suits production, but not a spectator.
    "INNGEST_LEASE": "3",
    "INNGEST_HINT_TIMEOUT": "2",
    "INNGEST_SWEEP_INTERVAL": "0.2",
    # Celery keeps messages with an ETA by the machine's clock, which does not travel: leave the future to the sweep.
    "INNGEST_HORIZON": "0.1",
}


class StuckError(RuntimeError):
    """Something that should have happened by now has not."""


class Stage:
    """An embedded stack in a directory, and the workers that run on it.

    Args:
        name: the Celery app as ``-A`` takes it.
        directory: for the database, the broker, the clock and the logs.
        console: what the demo prints on.
    """

    def __init__(self, name: str, directory: Path, console: Console) -> None:
        self.directory = directory
        self.console = console
        self._name = name
        self._workers: list[Worker] = []
        self._began = time.monotonic()

    def open(
        self, app: Callable[[], Celery], broker_url: str, database_url: str, environment: Mapping[str, str]
    ) -> None:
        """Say where everything is, and make the tables; see :func:`perform`."""
        os.environ |= {
            **SETTINGS,
            "CELERY_BROKER_URL": broker_url,
            "INNGEST_DATABASE_URL": database_url,
            "INNGEST_CLOCK": f"file:{self.directory / 'clock'}",
            **environment,
        }
        celery = app()
        celery.loader.import_default_modules()
        runtime = runtime_of(celery)
        assert isinstance(runtime.clock, SharedClock)
        self.clock = runtime.clock
        self.database = runtime.database
        upgrade(self.database)

    def close(self) -> None:
        """Stop the workers."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.wait()
        self.database.dispose()

    def say(self, text: str) -> None:
        """Tell what happens."""
        self.console.print(
            f"[bright_black]{time.monotonic() - self._began:5.1f} s[/]  {text}", highlight=False, soft_wrap=True
        )

    def start_worker(self, *, threads: int = 0) -> Worker:
        """Start one more, with two processes or so many threads, and wait until it is ready."""
        worker = Worker(self._name, f"worker-{len(self._workers) + 1}", self.directory, threads=threads)
        self._workers.append(worker)
        worker.wait_ready()
        self.say(f"{worker.name} is up")
        return worker

    def kill(self, worker: Worker, when: str) -> None:
        """SIGKILL for a worker with all its processes, as when its machine loses power."""
        worker.kill()
        self.say(f"[bold red]SIGKILL for {worker.name}[/] {when}")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something.

        Raises:
            StuckError: it has not happened in a minute.
        """
        give_up_at = time.monotonic() + QUIET_SECONDS
        while not condition():
            if time.monotonic() > give_up_at:
                raise StuckError(f"waited in vain for {what}; the logs are in {self.directory}")
            time.sleep(_LOOK_SECONDS)

    def settle(self) -> None:
        """Wait until nothing is due: all runs have ended, sleep or wait."""
        self.until(lambda: self._count_due() == 0, "what is due to be done")

    def travel(self, by: timedelta) -> None:
        """Let time pass for all processes, from one due job to the next."""
        end = self.clock.now() + round(by.total_seconds() * 1000)
        self.settle()
        while (due := self._next_due()) is not None and due <= end:
            self.clock.advance(max(min(due + TOGETHER_MS, end) - self.clock.now(), 0))
            self.settle()
        self.clock.advance(max(end - self.clock.now(), 0))

    def _count_due(self) -> int:
        return int(self._scalar(sa.select(sa.func.count()).where(schema.job.c.due_at <= self.clock.now())) or 0)

    def _next_due(self) -> int | None:
        return self._scalar(sa.select(sa.func.min(schema.job.c.due_at)))

    def _scalar(self, query: sa.Select[int]) -> int | None:
        with self.database.autocommit() as connection:
            return connection.execute(query.select_from(schema.job)).scalar_one()


def perform(
    app: Callable[[], Celery],
    name: str,
    show: Callable[[Stage, argparse.Namespace], bool],
    *,
    environment: Mapping[str, str],
    options: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
) -> int:
    """Play a demo on an embedded stack, and give the exit status of the program.

    Args:
        app: gives the Celery app; asked when the environment says where everything is.
        name: the app as ``-A`` takes it.
        show: what happens; gives whether all was as it must be.
        environment: variables for this process and the workers.
        options: adds options to the command line.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}")
    parser.add_argument(
        "--keep", type=Path, metavar="DIRECTORY", help="leave database and logs there, for the dashboard to show"
    )
    options(parser)
    arguments = parser.parse_args()
    # So that the workers are stopped then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    directory: Path = arguments.keep or Path(tempfile.mkdtemp(prefix="inngest-demo-"))
    stage = Stage(name, directory.absolute(), console)
    good = False
    try:
        with Embedded(directory, persist=False) as stack:
            stage.open(app, stack.broker_url, stack.database_url, environment)
            try:
                good = show(stage, arguments)
            finally:
                stage.close()
    except KeyboardInterrupt:
        return 130
    finally:
        if arguments.keep:
            console.print(f"Look at the runs:  inngest-celery dev -A {name} --dir {directory}", soft_wrap=True)
        elif good:
            shutil.rmtree(directory)
        else:
            console.print(f"The database and the workers' logs are in {directory}", soft_wrap=True)
    return 0 if good else 1
