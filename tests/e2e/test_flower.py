"""A run's steps in a real Flower, as its HTTP API shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from inngest_celery.store import schema
from tests.e2e.conftest import OpenShop
from tests.e2e.test_pools import names_of
from tests.waiting import wait_until


@contextmanager
def flower_of(broker_url: str, directory: Path) -> Iterator[httpx.Client]:
    """Start Flower beside the workers, knowing nothing but their broker; gives a client of it once it sees events."""
    socket, log = directory / "flower.sock", directory / "flower.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", f"--broker={broker_url}", "flower", f"--unix-socket={socket}"],
            cwd=directory,
            env={**os.environ, "FLOWER_UNAUTHENTICATED_API": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://flower") as flower:
            # The worker's heartbeat is an event as those of tasks are. What happens before Flower listens is not shown.
            wait_until(
                lambda: socket.exists() and flower.get("/workers", params={"json": "1"}).json()["data"],
                message=lambda: f"Flower to see the worker:\n{log.read_text()}",
                every=0.05,
            )
            yield flower
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("redis", "rabbitmq")
def test_flower_shows_the_steps_of_a_run(open_shop: OpenShop, broker_url: str, tmp_path: Path) -> None:
    shop = open_shop()
    shop.worker(pool="prefork", concurrency=2, options=["-E"])
    with flower_of(broker_url, tmp_path) as flower:
        shop.place(1)
        shop.wait_for_runs()
        runs = {row.id: row.function_id for row in shop.ask(schema.run.select())}
        [order] = [run for run, function in runs.items() if function == "orders-order"]
        expected = {(run, name, "SUCCESS") for run, function in runs.items() for name in names_of(function)}
        # Its first attempt fails.
        expected |= {(order, "orders/order · book", "RETRY")}

        def shown(**search: str) -> list[dict[str, Any]]:
            tasks: dict[str, dict[str, Any]] = flower.get("/api/tasks", params=search).raise_for_status().json()
            return [task for task in tasks.values() if " · " in task["name"]]

        def missing() -> set[tuple[str, str, str]]:
            return expected - {(task["root_id"], task["name"], task["state"]) for task in shown()}

        wait_until(lambda: not missing(), 10.0, lambda: f"Flower to show {missing()}")
        tasks = shown()
        assert {task["state"] for task in tasks} == {"SUCCESS", "RETRY"}, "a task is left over"
        assert {(task["root_id"], task["parent_id"]) for task in tasks} == {(run, run) for run in runs}
        [reserve] = shown(taskname="orders/order · reserve")
        assert order in reserve["kwargs"], "the run is not shown with the arguments"
