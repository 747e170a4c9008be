"""A Redis with a replica, and a sentinel that makes the replica the master when the master dies."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.redis_nodes import answers, free_ports, start, stop
from tests.waiting import wait_until

MASTER = "jobs"


class Watched:
    """Two nodes and a sentinel. They stop when this process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        first, second, sentinel = free_ports(3)
        watch = f"""
            sentinel monitor {MASTER} 127.0.0.1 {first} 1
            sentinel down-after-milliseconds {MASTER} 500
            sentinel failover-timeout {MASTER} 3000
        """
        self._nodes: dict[int, subprocess.Popen[bytes]] = {}
        # Here only the master is asked for data, so its replica may follow at once.
        options = ["--repl-diskless-sync-delay", "0"]
        self._nodes[first] = start(directory / "first", first, options)
        wait_until(partial(answers, redis.Redis(port=first)), message="the master")
        self._nodes[second] = start(directory / "second", second, [*options, "--replicaof", f"127.0.0.1 {first}"])
        self._nodes[sentinel] = start(directory / "sentinel", sentinel, ["--sentinel"], watch)
        self._sentinel: Any = redis.Redis(port=sentinel, decode_responses=True)
        self.broker_url = f"sentinel://127.0.0.1:{sentinel}/0"
        self.url = f"{self.broker_url}?master_name={MASTER}"
        wait_until(partial(answers, self._sentinel), message="the sentinel")
        wait_until(self._replica_known, message="the sentinel to know the replica")

    def master_url(self) -> str:
        """Give the URL of whoever is the master."""
        return f"redis://127.0.0.1:{self._master_port()}/0"

    def fail_over(self) -> None:
        """Kill the master, and wait until the sentinel says that its replica is the master."""
        before = self._master_port()
        (server,) = psutil.Process(self._nodes[before].pid).children()
        server.kill()
        wait_until(lambda: self._master_port() != before, message="the failover")

    def close(self) -> None:
        self._sentinel.close()
        for node in self._nodes.values():
            stop(node)

    def _master_port(self) -> int:
        return int(self._sentinel.sentinel_get_master_addr_by_name(MASTER)[1])

    def _replica_known(self) -> bool:
        replicas = self._sentinel.sentinel_slaves(MASTER)
        return any(each["master-link-status"] == "ok" for each in replicas)
