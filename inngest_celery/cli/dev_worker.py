"""The worker of ``dev``: started again when it ends, ended with us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

import inngest_celery

if TYPE_CHECKING:
    from inngest_celery.embedded import Embedded

_KEEPER = Path(inngest_celery.__file__).with_name("embedded_keeper.py")
_LOOK_EVERY = 1.0
_GRACE = 30.0
# A worker that lived for so long did start; what ended it is another matter than the time before.
_LONG_LIFE = 10.0
_PAUSES = (1.0, 2.0, 5.0, 10.0)


def command_line(app: str, *, pool: str, concurrency: int, loglevel: str, queues: Sequence[str]) -> list[str]:
    """Give the command of a worker for development: all queues, task events for Flower, no other worker to talk to."""
    return [
        *(sys.executable, "-m", "celery", "-A", app, "worker", "-n", "dev@%h", "-P", pool, "-c", str(concurrency)),
        *("-l", loglevel, "-Q", ",".join(queues), "-E", "--without-mingle", "--without-gossip"),
    ]


class DevWorker:
    """A worker process.

    Args:
        command: what to run.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, stack: Embedded | None) -> None:
        """Keep the worker up, and the broker under it, until SIGINT or SIGTERM; then end it."""
        signal.signal(signal.SIGTERM, _interrupt)
        failures = 0
        try:
            while True:
                began = time.monotonic()
                status = self._run_once(stack)
                failures = 0 if time.monotonic() - began > _LONG_LIFE else failures + 1
                pause = _PAUSES[min(failures, len(_PAUSES)) - 1] if failures else _PAUSES[0]
                click.echo(f"The worker ended with status {status}. It is started again in {pause:g} s.", err=True)
                time.sleep(pause)
        except KeyboardInterrupt:
            click.echo("\nThe worker finishes what it is doing. Ctrl-C again ends it at once.", err=True)
        finally:
            self._stop()

    def _run_once(self, stack: Embedded | None) -> int:
        self._process = self._start()
        while True:
            try:
                return self._process.wait(_LOOK_EVERY)
            except subprocess.TimeoutExpired:
                if stack is not None:
                    stack.start()  # does nothing while it runs

    def _start(self) -> subprocess.Popen[bytes]:
        # The keeper ends the worker if we are killed. A session of its own: Ctrl-C reaches us alone, and we end the
        # worker in our order, before the broker. Its second argument is a descriptor to be held open; any will do.
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_KEEPER), str(os.getpid()), "2", *self._command],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _stop(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_GRACE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
