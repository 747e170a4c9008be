"""A Redis Cluster of three masters on this machine: the embedded server three times, joined."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import redis

from tests.redis_nodes import answers, free_ports, start, stop
from tests.waiting import wait_until

_SLOTS = 16384
_NODES = 3


class Cluster:
    """Three nodes with a third of the slots each. They stop when this process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._nodes: list[subprocess.Popen[bytes]] = []
        ports = free_ports(2 * _NODES)
        self._clients: list[Any] = [redis.Redis(port=port, decode_responses=True) for port in ports[:_NODES]]
        try:
            for port, bus in zip(ports[:_NODES], ports[_NODES:], strict=True):
                options = ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
                self._nodes.append(start(directory / str(port), port, options))
            for index, client in enumerate(self._clients):
                wait_until(partial(answers, client), message="a node of the cluster")
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
            stop(node)


def _is_whole(client: Any) -> bool:
    told: dict[str, str] = client.cluster("INFO")
    return (told["cluster_state"], told["cluster_known_nodes"]) == ("ok", str(_NODES))
