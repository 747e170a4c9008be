"""The embedded server, started with options of one's own. Each stops when this process ends, however it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis

from inngest_celery.embedded import _KEEPER, _binary


def free_ports(number: int) -> list[int]:
    """Give ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def start(directory: Path, port: int, options: Sequence[str], file: str = "") -> subprocess.Popen[bytes]:
    """Start a server that keeps nothing on disk.

    Args:
        directory: its own; made here.
        port: where it listens.
        options: on its command line.
        file: the text of its configuration file, if it is to have one.
    """
    directory.mkdir()
    command = [_binary()]
    if file:
        path = directory / "configuration"
        path.write_text(file)
        command.append(str(path))
    command += ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    command += ["--save", "", "--appendonly", "no"] if not file else []
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            # The keeper hands the server a lock to hold. Nobody else comes for this directory: its log will do.
            [sys.executable, "-I", "-S", str(_KEEPER), str(os.getpid()), str(log.fileno()), *command, *options],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[log.fileno()],
            start_new_session=True,
        )


def stop(node: subprocess.Popen[bytes]) -> None:
    """Stop a server, and wait for its end."""
    assert node.stdin is not None
    node.stdin.close()
    node.wait()


def answers(client: Any) -> bool:
    """Tell whether a server is there."""
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
