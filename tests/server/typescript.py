"""The sample app on the official TypeScript SDK, as a real Node.js process."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import wait_until

DIRECTORY = Path(__file__).with_name("apps") / "typescript"
_WEBSOCKETS = "--experimental-websocket"
_LISTENING = re.compile(r"listening on (\d+)")


def install() -> None:
    """Install what the app needs, once for all processes of the tests."""
    lock_file, ready = DIRECTORY / "package-lock.json", DIRECTORY / "node_modules" / ".ready"
    with (DIRECTORY / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists() and ready.stat().st_mtime >= lock_file.stat().st_mtime:
            return
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=DIRECTORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        ready.touch()


@cache
def has_websockets() -> bool:
    """Tell whether the Node.js here can dial in: from 22 on of itself, before it with a flag, if at all."""
    return subprocess.run(["node", _WEBSOCKETS, "-e", "0"], capture_output=True).returncode == 0


@dataclass(frozen=True)
class TypeScriptApp:
    """The app, running."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def calls(self) -> dict[str, int]:
        """How often it has executed what."""
        calls: dict[str, int] = httpx.get(f"{self.url.removesuffix('/api/inngest')}/calls", timeout=30).json()
        return calls


@contextmanager
def running(server: str, log: Path, *, port: int = 0, **env: str) -> Iterator[TypeScriptApp]:
    """Run the app meanwhile, registered with a server; with ``CONNECT="yes"``, dialled in at it."""
    install()
    flags = [_WEBSOCKETS] if "CONNECT" in env else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["node", *flags, "app.mjs"],
            cwd=DIRECTORY,
            env={**os.environ, "SERVER": server, "PORT": str(port), **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        found = wait_until(
            lambda: _LISTENING.search(log.read_text()) or process.poll() is not None, 60, lambda: log.read_text()
        )
        assert isinstance(found, re.Match), log.read_text()
        url = f"http://127.0.0.1:{found[1]}/api/inngest"
        if "CONNECT" not in env:
            httpx.put(url, timeout=60).raise_for_status()
        yield TypeScriptApp(url, process, log)
    finally:
        process.kill()
        process.wait()


@contextmanager
def listening(server: str, log: Path, channel: str, *topics: str) -> Iterator[Callable[[], list[Any]]]:
    """Listen with the SDK meanwhile; gives what gives the messages that have come."""
    install()
    with log.open("wb") as output:
        process = subprocess.Popen(
            # What browsers and newer versions of Node have without being asked.
            ["node", _WEBSOCKETS, "listen.mjs", channel, *topics],
            cwd=DIRECTORY,
            env={**os.environ, "SERVER": server},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def heard() -> list[Any]:
        return [json.loads(line) for line in log.read_text().splitlines() if line.startswith(("{", '"'))]

    try:
        wait_until(lambda: "listening" in heard() or process.poll() is not None, 60, lambda: log.read_text())
        assert process.poll() is None, log.read_text()
        yield lambda: [message for message in heard() if message != "listening"]
    finally:
        process.kill()
        process.wait()
