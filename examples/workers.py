"""Real Celery workers, each in a process group of its own, so that one can be killed whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
_READY = b" ready."
_READY_SECONDS = 30.0
_STOP_SECONDS = 15.0


class WorkerFailedError(RuntimeError):
    """A worker did not come up; the message ends with its log."""


class Worker:
    """``celery -A <app> worker`` with two processes.

    Args:
        app: the Celery app, as ``-A`` takes it.
        name: shown to whoever watches; the log is ``<name>.log``.
        directory: where the log goes.
        threads: so many threads instead, for work that mostly waits for others.
    """

    def __init__(self, app: str, name: str, directory: Path, *, threads: int = 0) -> None:
        self.name = name
        self.state = "starting"
        self.log = directory / f"{name}.log"
        command = [sys.executable, "-m", "celery", "-A", app, "worker", f"--hostname={name}@%h"]
        command += ["--pool=threads", f"--concurrency={threads}"] if threads else ["--concurrency=2"]
        command += ["--loglevel=INFO", "--without-mingle", "--without-gossip"]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until it takes messages.

        Raises:
            WorkerFailedError: it ended before, or took too long.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while _READY not in self.log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise WorkerFailedError(f"{self.name} is not ready:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        self.state = "up"

    def owns(self, lease_owner: str) -> bool:
        """Tell whether a lease belongs to one of its processes. Owners are ``<host>:<pid>:<nonce>``."""
        try:
            return os.getpgid(int(lease_owner.split(":")[1])) == self._process.pid
        except ProcessLookupError:
            return False

    def freeze(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to all its processes at once, as when a machine loses power."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.state = "killed"

    def terminate(self) -> None:
        """Ask it to finish what it is doing and to end."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait for its end, and insist on it if that takes too long."""
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        if self.state == "up":
            self.state = "stopped"
