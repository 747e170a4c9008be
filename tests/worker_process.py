"""A real Celery worker in a process group of its own, to be killed, frozen and looked at."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import psutil

from tests import nursery
from tests.nursery import ROOT
from tests.waiting import wait_until

Pool = Literal["solo", "prefork", "threads"]

_READY = re.compile(r"\S+@\S+ ready\.")


class WorkerProcess:
    """``python -m celery -A <app> worker``, started and waited for.

    Args:
        app: the Celery app, as ``-A`` takes it.
        log: the file for everything that the worker prints.
        pool: the worker's pool.
        concurrency: its processes or threads.
        queues: what it consumes; the app's default queue if empty.
        env: variables on top of this process's own.
        options: more options for the command line.
        source: the tree of another version, which it is to run in place of this one.
        timeout: seconds until it must be ready, and until a stop must be done. A child of Celery's prefork pool may
            wait 30 seconds, at its end, for its results to be read.
    """

    def __init__(
        self,
        app: str,
        log: Path,
        *,
        pool: Pool = "solo",
        concurrency: int = 1,
        queues: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        source: Path | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.name = log.stem
        self._log = log
        self._whole_log: str | None = None
        self._timeout = timeout
        # Mingling waits a second for other nodes, and gossip talks to them; no test needs either.
        command = ["-A", app, "worker", "--without-mingle", "--without-gossip"]
        command += [f"--hostname={self.name}@%h", f"--pool={pool}", f"--concurrency={concurrency}", "--loglevel=INFO"]
        command += ["-Q", ",".join(queues)] if queues else []
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        log.touch()
        environment = {**os.environ, "PYTHONPATH": path, **(env or {})}
        self.pid = nursery.start([*command, *options], environment, log, source)
        try:
            self._process = psutil.Process(self.pid)
        except psutil.NoSuchProcess:
            self._process = None

    @property
    def alive(self) -> bool:
        """Whether the main process runs."""
        return self._process is not None and self._process.is_running()

    @property
    def log(self) -> str:
        """Everything that the worker has printed."""
        return self._log.read_text(errors="replace") if self._whole_log is None else self._whole_log

    def wait_ready(self) -> None:
        """Wait until the worker consumes.

        Raises:
            AssertionError: it ended, or took too long; with its log.
        """
        wait_until(
            lambda: _READY.search(self.log) or not self.alive,
            self._timeout,
            lambda: f"{self.name} to be ready:\n{self.log}",
        )
        assert self.alive, f"worker {self.name} ended:\n{self.log}"

    def children(self) -> list[psutil.Process]:
        """The processes of the pool."""
        return self._process.children() if self._process is not None and self.alive else []

    def sigkill(self) -> None:
        """Kill the worker with all its processes, as a machine that loses power."""
        self._signal(signal.SIGKILL)
        wait_until(lambda: not self._survivors(), self._timeout, f"the death of {self.name}")

    def sigkill_child(self) -> int:
        """Kill one process of the pool, as the kernel does when memory runs out, and give its pid."""
        child = self.children()[0]
        child.kill()
        return child.pid

    def sigstop(self) -> None:
        """Freeze the worker: it holds what it holds and does nothing."""
        self._signal(signal.SIGSTOP)

    def sigcont(self) -> None:
        """Let a frozen worker go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask for a warm shutdown and wait for it.

        Raises:
            AssertionError: it took too long, or a process stayed behind.
        """
        os.kill(self.pid, signal.SIGTERM)
        wait_until(lambda: not self.alive, self._timeout, lambda: f"{self.name} to stop:\n{self.log}")
        self.close()

    def close(self) -> None:
        """End whatever still runs.

        Raises:
            AssertionError: the main process was gone already, but others of its group were not.
        """
        try:
            self._end()
        finally:
            # A failure at the end of a test is reported when the test's directory may be gone.
            self._whole_log = self.log

    def _end(self) -> None:
        if self.alive:
            self.sigkill()
            return
        try:
            wait_until(
                lambda: not self._survivors(),
                self._timeout,
                lambda: f"the pool of {self.name} to follow its main process; left: {self._survivors()}",
            )
        finally:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._survivors():
            # The last of them may end just now.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _survivors(self) -> list[int]:
        """Processes of the worker's session that run. Zombies do not: init has yet to bury them."""
        return [process.pid for process in psutil.process_iter(["status"]) if self._owns(process)]

    def _owns(self, process: psutil.Process) -> bool:
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            return False
        try:
            return os.getsid(process.pid) == self.pid
        except ProcessLookupError:
            return False
