"""The demo, from an empty directory to the last table. See ``--help``."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from examples.github import app
from examples.github.app import client
from examples.github.demo import closing, figures
from examples.github.demo.board import Board
from examples.github.demo.proof import prove
from examples.github.webhooks import Delivery, deliveries
from examples.stage import QUIET_SECONDS, SETTINGS, TOGETHER_MS, StuckError
from examples.workers import Worker
from inngest_celery.clock import SharedClock
from inngest_celery.embedded import Embedded
from inngest_celery.store.migrate import upgrade
from inngest_celery.worker.runtime import runtime_of

_DAYS = 7
_DAY_MS = 86_400_000
_LOOK_SECONDS = 0.1
_BATCH = 10
_REPEATED = 10


class Demo:
    """One performance.

    Args:
        directory: for the database, the broker, the clock, the journal and the logs.
        console: where it is shown.
        quick: one webhook of each name instead of all.
    """

    def __init__(self, directory: Path, console: Console, *, quick: bool) -> None:
        self._directory = directory
        self._console = console
        self._deliveries = deliveries(1 if quick else None)
        self._workers: list[Worker] = []
        self._board = Board(console, self._workers)
        self._crashes = 0

    def run(self) -> bool:
        """Give whether all that must be true is."""
        with Embedded(self._directory, persist=False) as stack:
            os.environ |= SETTINGS | {
                "CELERY_BROKER_URL": stack.broker_url,
                "INNGEST_DATABASE_URL": stack.database_url,
                "INNGEST_CLOCK": f"file:{self._directory / 'clock'}",
                "GITHUB_STATE": str(self._directory / "github"),
            }
            app.loader.import_default_modules()
            self._runtime = runtime_of(app)
            assert isinstance(self._runtime.clock, SharedClock)
            self._clock = self._runtime.clock
            self._database = self._runtime.database
            upgrade(self._database)
            try:
                with self._board:
                    self._live_through()
            finally:
                for worker in self._workers:
                    worker.terminate()
                for worker in self._workers:
                    worker.wait()
            proof = prove(self._database, self._crashes, mornings=_DAYS)
            closing.show(self._console, self._database, proof, self._seconds)
            return not proof.problems

    def _live_through(self) -> None:
        self._clock.advance(_until_noon(self._clock.now()))
        self._started_at = self._clock.now()
        self._start_workers("worker-1", "worker-2")
        began = time.monotonic()
        first = [delivery for delivery in self._deliveries if delivery.day == 0]
        second = [delivery for delivery in self._deliveries if delivery.day == 1]
        self._board.say(f"{len(first)} webhooks come in")
        self._send(first)
        while self._look().ended < len(first) // 2:
            time.sleep(_LOOK_SECONDS)
        self._kill_one()
        self._board.say(f"GitHub repeats {_REPEATED} deliveries")
        self._send(first[:_REPEATED])
        self._settle()

        self._travel(timedelta(days=1))
        self._board.say(f"A day later, {len(second)} reviews, closings and deployments come in")
        self._send(second)
        self._board.say("Six more days pass: time-outs, reminders, a digest every morning")
        self._travel(timedelta(days=_DAYS - 1))
        self._seconds = time.monotonic() - began
        self._board.say("All runs have ended; the workers stop")

    # Doing

    def _start_workers(self, *names: str) -> None:
        started = [Worker("examples.github", name, self._directory) for name in names]
        self._workers += started
        for worker in started:
            worker.wait_ready()
            self._board.say(f"{worker.name} is up")

    def _send(self, batch: Sequence[Delivery]) -> None:
        for start in range(0, len(batch), _BATCH):
            client.send_sync([delivery.event for delivery in batch[start : start + _BATCH]])
            self._look()

    def _kill_one(self) -> None:
        """Kill a worker in the middle of something, and start another in its place.

        Frozen first and looked at then, so that what it was doing is known for certain.
        """
        victim = self._workers[0]
        give_up_at = time.monotonic() + QUIET_SECONDS
        while True:
            victim.freeze()
            work = {owner: what for owner, what in figures.held(self._database).items() if victim.owns(owner)}
            if work:
                break
            victim.thaw()
            if time.monotonic() > give_up_at:
                raise StuckError(f"{victim.name} does nothing; the logs are in {self._directory}")
            self._look()
        victim.kill()
        self._crashes += len(work)
        self._board.say(f"[bold red]SIGKILL for {victim.name}[/] in the middle of: {', '.join(work.values())}")
        self._start_workers("worker-3")

    def _travel(self, by: timedelta) -> None:
        """Let time pass for all processes, from one due job to the next."""
        end = self._clock.now() + round(by.total_seconds() * 1000)
        while (due := self._settle().next_due) is not None and due <= end:
            self._clock.advance(min(due + TOGETHER_MS, end) - self._clock.now())
        self._clock.advance(max(end - self._clock.now(), 0))

    # Looking

    def _settle(self) -> figures.Figures:
        """Wait until nothing is due.

        Raises:
            StuckError: it has not come to that in a minute.
        """
        give_up_at = time.monotonic() + QUIET_SECONDS
        while (now := self._look()).due:
            if time.monotonic() > give_up_at:
                raise StuckError(f"{now.due} jobs are due and not done; the logs are in {self._directory}")
            time.sleep(_LOOK_SECONDS)
        return now

    def _look(self) -> figures.Figures:
        now = self._clock.now()
        found = figures.read(self._database, now)
        self._board.show(found, timedelta(milliseconds=now - self._started_at))
        return found


def _until_noon(now: int) -> int:
    """Give the milliseconds to 12:00: a week from noon to noon has seven mornings, whenever it is played."""
    return _DAY_MS - (now - _DAY_MS // 2) % _DAY_MS


def main() -> int:
    """Run the demo; the exit status says whether all that must be true is."""
    parser = argparse.ArgumentParser(prog="python -m examples.github.demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one webhook of each name instead of all 329")
    options = parser.parse_args()
    # So that the workers are stopped then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    directory = Path(tempfile.mkdtemp(prefix="inngest-demo-"))
    good = False
    try:
        good = Demo(directory, console, quick=options.quick).run()
    except KeyboardInterrupt:
        return 130
    finally:
        if good:
            shutil.rmtree(directory)
        else:
            console.print(f"The database and the workers' logs are in {directory}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
