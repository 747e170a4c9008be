"""Workers are asked to stop, warmly, softly and coldly, and others go on at once with what they leave."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.e2e.stops import Stops
from tests.waiting import wait_until

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]


@pytest.fixture
def stops(
    database_url: str, broker_url: str, redis_url: str, tmp_path: Path, start_worker: StartWorker
) -> Iterator[Stops]:
    stops = Stops(database_url, broker_url, redis_url, tmp_path, start_worker)
    yield stops
    stops.close()


@pytest.mark.parametrize("how", ["warm", "soft", "cold"])
@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_a_worker_that_stops_leaves_its_runs_to_others(stops: Stops, pool: str, how: str) -> None:
    """One run is in a body, one asleep, one has begun no step; leases last longer than this test."""
    stops.gate.touch()
    # Celery waits for all of it, whatever ends meanwhile; solo in the middle of the body, which cannot go on.
    patience = {"solo": "0.5"}.get(pool, "3") if how == "soft" else "0"
    worker = stops.worker(pool=pool, concurrency=1, env={"SOFT_SHUTDOWN": patience})
    asleep = stops.begin("rest", asleep=True)
    stops.wait_for_line("first")
    in_body = stops.begin("rest", gate=True)
    stops.wait_for_line("in body")
    queued = stops.begin("rest")
    os.kill(worker.pid, signal.SIGTERM if how == "warm" else signal.SIGQUIT)
    wait_until(lambda: "Ctrl+C" in worker.log or "shutdown" in worker.log or not worker.alive, 30, lambda: worker.log)
    killed = pool == "prefork" and how == "cold"
    if not killed:
        # What is in a body may end.
        stops.gate.unlink()
    wait_until(lambda: not worker.alive, 30, lambda: worker.log)
    stops.gate.unlink(missing_ok=True)
    stops.worker(pool="threads", concurrency=2)
    for event_id in (asleep, in_body, queued):
        first, _, last = stops.end_of(event_id).output
        assert (first, last) == (1, 1), stops.lines()
    assert sum(line.startswith("in body") for line in stops.lines()) == (2 if killed else 1)
