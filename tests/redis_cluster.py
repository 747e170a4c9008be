"""A Redis Cluster of three masters on this machine: the embedded server three times, joined."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import redis

from inngest_celery.embedded import _KEEPER, _binary
from tests.waiting import wait_until

_SLOTS = 16384
_NODES = 3


class Cluster:
    """Three nodes with a third of the slots each. They stop when this process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._nodes: list[subprocess.Popen[bytes]] = []
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(2 * _NODES)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            ports: list[int] = [each.getsockname()[1] for each in sockets]
        self._clients: list[Any] = [redis.Redis(port=port, decode_responses=True) for port in ports[:_NODES]]
        try:
            for port, bus in zip(ports[:_NODES], ports[_NODES:], strict=True):
                self._nodes.append(_start(directory / str(port), port, bus))
            for index, client in enumerate(self._clients):
                wait_until(partial(_answers, client), message="a node of the cluster")
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
                first, last = (_SLOTS * part // _NODES for part in (index, index + 1))
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last - 1)
                client.execute_command("CLUSTER MEET", "127.0.0.1", ports[0], ports[_NODES])
            for client in self._clients:
                wait_until(partial(_is_whole, client), message="the cluster to be whole")
        except BaseException:
            self.close()
            raise
        self._url = f"redis+cluster://127.0.0.1:{ports[0]}"

    def empty(self) -> str:
        for client in self._clients:
            client.flushall()
        return self._url

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for node in self._nodes:
            assert node.stdin is not None
            node.stdin.close()
            node.wait()


def _start(directory: Path, port: int, bus: int) -> subprocess.Popen[bytes]:
    directory.mkdir()
    command = [_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    command += ["--save", "", "--appendonly", "no", "--cluster-enabled", "yes", "--cluster-port", str(bus)]
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            # The keeper hands the server a lock to hold. Nobody else comes for this directory: its log will do.
            [sys.executable, "-I", "-S", str(_KEEPER), str(os.getpid()), str(log.fileno()), *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[log.fileno()],
            start_new_session=True,
        )


def _answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def _is_whole(client: Any) -> bool:
    told: dict[str, str] = client.cluster("INFO")
    return (told["cluster_state"], told["cluster_known_nodes"]) == ("ok", str(_NODES))
