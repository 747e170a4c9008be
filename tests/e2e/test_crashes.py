"""Workers are killed at every boundary, with SIGKILL, and nothing is lost or recorded twice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import OpenShop
from tests.waiting import wait_until

# The last one kills the main process of a worker, the others a process of its pool.
PLACES = (
    "before_body",
    "after_body",
    "before_checkpoint",
    "after_checkpoint",
    "after_hint",
    "before_ack",
    "route_before_commit",
    "route_after_commit",
    "sweep_after_commit",
)
HOT, HOP = 0.25, 0.0


@pytest.mark.pairs
@pytest.mark.parametrize("slice_seconds", [HOT, HOP], ids=["hot", "hop"])
def test_a_crash_at_any_boundary(slice_seconds: float, open_shop: OpenShop) -> None:
    shop = open_shop(slice=slice_seconds)
    shop.worker(pool="prefork", concurrency=2)
    shop.worker(pool="prefork", concurrency=1)
    for place in PLACES:
        shop.order_crash(place)
        shop.place(1, "order/placed-sync" if place == "after_body" else "order/placed")
        shop.wait_for_crash(place)
    shop.wait_for_runs()
    shop.check(repeats=len(PLACES))


@pytest.mark.pairs
@pytest.mark.parametrize("slice_seconds", [HOT, HOP], ids=["hot", "hop"])
def test_a_whole_worker_dies_in_the_middle(slice_seconds: float, open_shop: OpenShop) -> None:
    shop = open_shop(slice=slice_seconds)
    doomed = shop.worker(pool="prefork", concurrency=2)
    shop.place(8)
    shop.wait_for_bodies(6)
    doomed.sigkill()
    shop.worker(pool="prefork", concurrency=2)
    shop.wait_for_runs()
    shop.check(repeats=2)


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
def test_processes_that_are_being_started_follow_their_main_process(
    start_worker: StartWorker, database_url: str, broker_url: str, tmp_path: Path
) -> None:
    """Celery has the kernel kill a pool with its main process, but asks for it only in a process that has begun."""
    gate = tmp_path / "gate"
    gate.touch()
    environment = {"INNGEST_DATABASE_URL": database_url, "BROKER": broker_url, "GATE": str(gate)}
    worker = start_worker("tests.e2e.slow_start_app", pool="prefork", concurrency=2, env=environment)
    assert len(worker.children()) == 2
    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: not worker.alive, message="the main process to be gone")
    gate.unlink()
    # It fails if any of them stays.
    worker.close()
