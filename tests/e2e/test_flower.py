"""A run's steps in a real Flower, as its HTTP API shows them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from celery.events import EventReceiver
from kombu import Consumer

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.names import MOST
from tests.conftest import StartWorker
from tests.e2e.conftest import OpenShop
from tests.e2e.test_pools import names_of
from tests.e2e.web import Web
from tests.waiting import wait_until

DASHBOARD = "https://jobs.example.com"


@contextmanager
def flower_of(broker_url: str, directory: Path) -> Iterator[httpx.Client]:
    """Start Flower beside the workers, knowing nothing but their broker; gives a client of it once it sees events."""
    socket, log = directory / "flower.sock", directory / "flower.log"
    (directory / "flowerconfig.py").write_text("from inngest_celery.flower import format_task\n")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", f"--broker={broker_url}", "flower", f"--unix-socket={socket}"],
            cwd=directory,
            env={**os.environ, "FLOWER_UNAUTHENTICATED_API": "1", "INNGEST_PUBLIC_URL": DASHBOARD},
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

        # Each run is a row, too, under the name of its function.
        expected |= {(run, function.replace("-", "/", 1), "SUCCESS") for run, function in runs.items()}

        def shown(**search: str) -> list[dict[str, Any]]:
            tasks: dict[str, dict[str, Any]] = flower.get("/api/tasks", params=search).raise_for_status().json()
            return [task for task in tasks.values() if task["name"].startswith("orders/")]

        def missing() -> set[tuple[str, str, str]]:
            return expected - {(task["root_id"], task["name"], task["state"]) for task in shown()}

        wait_until(lambda: not missing(), 10.0, lambda: f"Flower to show {missing()}")
        tasks = {task["uuid"]: task for task in shown()}
        assert {task["state"] for task in tasks.values()} == {"SUCCESS", "RETRY"}, "a task is left over"
        of_runs = {run: tasks.pop(run) for run in runs}
        assert {(task["root_id"], task["parent_id"]) for task in tasks.values()} == {(run, run) for run in runs}
        assert {task["uuid"] for task in tasks.values() if task["root_id"] == order} <= set(of_runs[order]["children"])
        assert of_runs[order]["runtime"] > 1, "the sleep of the run counts"

        # An attempt is a task: the one that failed has its error, and the one that came well has none.
        attempts = {task["state"]: task for task in tasks.values() if task["name"] == "orders/order · book"}
        assert "the ledger does not answer" in attempts["RETRY"]["exception"]
        assert (attempts["SUCCESS"]["exception"], attempts["SUCCESS"]["traceback"]) == (None, None)
        assert (attempts["RETRY"]["retries"], attempts["SUCCESS"]["retries"]) == (0, 1)

        [reserve] = shown(taskname="orders/order · reserve")
        assert reserve["kwargs"] == repr({"run": order, "step": "reserve"})
        assert reserve["uuid"] in shown_ids(flower, f"kwargs:{order}")
        page = flower.get(f"/task/{reserve['uuid']}").raise_for_status().text
        assert f"/task/{order}" in page, "the step's page leads to the run's"
        assert f"{DASHBOARD}/runs/{order}" in page, "and to the dashboard"
        assert f"{DASHBOARD}/runs/{order}" in flower.get(f"/task/{order}").raise_for_status().text


def shown_ids(flower: httpx.Client, search: str) -> set[str]:
    return set(flower.get("/api/tasks", params={"search": search}).raise_for_status().json())


class Names(Web):
    """Runs of a function whose steps have the name that the event gives them."""

    def describe(self) -> str:
        return str([dict(row._mapping) for row in self.ask(schema.run.select())[:10]])


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("redis")
def test_a_thousand_names_of_steps_are_a_few_labels_and_a_few_messages(
    database_url: str, broker_url: str, tmp_path: Path, start_worker: StartWorker
) -> None:
    names = Names("tests.e2e.names_app", database_url, broker_url, tmp_path, start_worker)
    names.worker(pool="prefork", options=["-E"], slice=30)
    with flower_of(broker_url, tmp_path) as flower, counted_messages(names.celery) as messages:
        for kind in ("charge-{}", "notify-{}"):
            steps = [kind.format(_word(number) if "notify" in kind else number) for number in range(500)]
            names.client.send_sync(inngest.Event(name="names/given", data={"steps": steps}))
        ended = schema.run.select().where(schema.run.c.status == RunStatus.COMPLETED.value)
        wait_until(lambda: len(names.ask(ended)) == 2, 60.0, names.describe, every=0.1)

        def labels() -> set[str]:
            return set(re.findall(r'task="([^"]*)"', flower.get("/metrics").raise_for_status().text))

        def all_shown() -> bool:
            shown = flower.get("/api/tasks", params={"search": "names/many"}).json()
            return sum(task["state"] == "SUCCESS" for task in shown.values()) >= 1002

        wait_until(all_shown, 20.0, lambda: f"Flower to show all steps; labels: {labels()}", every=0.2)
        # Numbers become one name. Of words the first hundred have theirs, and all others share one.
        ours = {label for label in labels() if label.startswith("names/many")}
        assert "names/many · charge-…" in ours
        assert "names/many · …" in ours
        assert len(ours) <= MOST + 4
        # The arguments have the names whole.
        assert shown_ids(flower, "kwargs:charge-499")
        assert len(shown_ids(flower, f"kwargs:notify-{_word(499)}")) == 1
    # Two thousand events and more of steps in place: in lists, and not two messages a step.
    assert sum(messages) >= 3 * 1000
    # How many lists depends on how long it took: four a second and process.
    assert len(messages) < sum(messages) / 10, f"{len(messages)} messages"
    names.close()


def _word(number: int) -> str:
    """A word without digits for a number, as a customer's name would be."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


@contextmanager
def counted_messages(app: Celery) -> Iterator[list[int]]:
    """Collect how many task events each message has that workers send."""
    found: list[int] = []
    ended, ready = threading.Event(), threading.Event()

    def note(body: Any, message: Any) -> None:
        events = body if isinstance(body, list) else [body]
        found.append(sum(event["type"].startswith("task-") for event in events))

    def capture() -> None:
        with app.connection_for_read() as connection:
            receiver = EventReceiver(connection, routing_key="task.#", app=app)
            consumer = Consumer(connection, queues=[receiver.queue], callbacks=[note], no_ack=True)
            with consumer:
                ready.set()
                while not ended.is_set():
                    try:
                        connection.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue

    thread = threading.Thread(target=capture)
    thread.start()
    try:
        assert ready.wait(10)
        yield found
    finally:
        ended.set()
        thread.join()
