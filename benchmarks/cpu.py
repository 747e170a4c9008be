"""CPU seconds that each part has used so far."""

from __future__ import annotations

from collections.abc import Iterable

import psutil
import redis
import sqlalchemy as sa

from benchmarks.app import Setup
from tests.worker_process import WorkerProcess


def seconds(worker: WorkerProcess, setup: Setup) -> dict[str, float]:
    """Give user and system time by part; a part that cannot be seen from here is missing."""
    used = {
        "worker": _of([psutil.Process(worker.pid)]),
        "pool": _of(worker.children()),
    }
    url = sa.make_url(setup.database)
    if url.get_backend_name() == "postgresql":
        used["database"] = _of(_backends(str(url.database)))
    if setup.broker.startswith("redis"):
        # Others may be using the same server: an upper bound.
        with redis.Redis.from_url(setup.broker) as client:
            info = client.info("cpu")
        used["broker"] = float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
    elif beam := [process for process in psutil.process_iter(["name"]) if process.info["name"] == "beam.smp"]:
        used["broker"] = _of(beam)
    return used


def _of(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _backends(database: str) -> list[psutil.Process]:
    """Give the server processes that serve a database of PostgreSQL, if it runs here."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(part.startswith("postgres:") and database in part for part in process.info["cmdline"] or [])
    ]
