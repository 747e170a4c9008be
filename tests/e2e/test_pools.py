"""Every kind of step on every broker and in every pool, as Flower sees it; and a broker that is not there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery
from celery.events import EventReceiver

import inngest_celery as inngest
from inngest_celery.embedded import Embedded
from inngest_celery.store import schema
from tests.conftest import StartWorker
from tests.e2e.conftest import OpenShop
from tests.e2e.shop import BODIES, Shop
from tests.waiting import wait_until
from tests.worker_process import Pool


@contextmanager
def task_events(app: Celery) -> Iterator[dict[str, dict[str, Any]]]:
    """Collect task events the way Flower does: by task, all fields together, and the kinds in their order."""
    tasks: dict[str, dict[str, Any]] = {}
    ended = threading.Event()

    def note(event: dict[str, Any]) -> None:
        if event["type"].startswith("task-"):
            task = tasks.setdefault(event["uuid"], {"kinds": []})
            task["kinds"].append(event["type"])
            task.update({name: value for name, value in event.items() if name != "type"})

    def capture() -> None:
        with app.connection_for_read() as connection:
            receiver = EventReceiver(connection, handlers={"*": note}, app=app)
            with receiver.consumer_context() as (listening, _channel, _consumers):
                ready.set()
                while not ended.is_set():
                    try:
                        listening.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue

    ready = threading.Event()
    thread = threading.Thread(target=capture)
    thread.start()
    try:
        assert ready.wait(10)
        yield tasks
    finally:
        ended.set()
        thread.join()


@pytest.mark.databases("postgres")
@pytest.mark.brokers("redis", "rabbitmq")
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_every_step_is_a_task_of_its_own(pool: Pool, open_shop: OpenShop) -> None:
    shop = open_shop()
    with task_events(shop.celery) as tasks:
        shop.worker(pool=pool, concurrency=1 if pool == "solo" else 2, options=["-E"])
        shop.place(1)
        shop.place(1, "order/placed-sync")
        shop.wait_for_runs()
        shop.check(repeats=0)
        runs = {row.id: row.function_id for row in shop.ask(schema.run.select())}
        expected = {(run, name) for run, function in runs.items() for name in names_of(function)}
        wait_until(lambda: expected <= succeeded(tasks), 10.0, lambda: f"{expected - succeeded(tasks)} in {tasks}")
    for task in tasks.values():
        if "root_id" in task and " · " in task["name"]:
            assert task["root_id"] in runs
            assert task["kinds"][:2] == ["task-received", "task-started"]
            assert len(task["kinds"]) == 3
    retried = [task["name"] for task in tasks.values() if "task-retried" in task["kinds"]]
    assert sorted(retried) == ["orders/order · book", "orders/order-sync · book"]


def names_of(function_id: str) -> list[str]:
    """The names under which Flower shows the steps of a run that have a body."""
    task = function_id.replace("orders-", "orders/", 1)
    return [f"{task} · {step}" for step in (["wrap"] if task == "orders/pack" else BODIES)]


def succeeded(tasks: dict[str, dict[str, Any]]) -> set[tuple[str, str]]:
    """Run and name of each task that has ended well."""
    return {
        (task["root_id"], task["name"])
        for task in list(tasks.values())
        if task["kinds"][-1] == "task-succeeded" and "name" in task
    }


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
def test_events_can_be_switched_on_later(open_shop: OpenShop) -> None:
    shop = open_shop()
    shop.worker(pool="prefork", concurrency=1)
    with task_events(shop.celery) as tasks:
        # On Redis a worker may hear of it a moment later than it says that it is ready.
        [answer] = wait_until(lambda: shop.celery.control.enable_events(reply=True), message="the worker's answer")
        assert "ok" in next(iter(answer.values()))

        def shown() -> bool:
            shop.place(1, "order/pack")
            return "orders/pack · wrap" in {name for _, name in succeeded(tasks)}

        wait_until(shown, 10.0, lambda: f"a step that runs in place to be shown, in {tasks}", every=0.2)


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey", "rabbitmq")
def test_a_message_waits_in_the_broker_only_within_the_horizon(open_shop: OpenShop) -> None:
    shop = open_shop(horizon=0.5, sweep_interval=60, lease=60)
    shop.worker(pool="solo")
    shop.place(1)
    wait_until(lambda: shop.ask(sa.select(schema.job.c.key).where(schema.job.c.kind == "sleep")), 10.0, shop.describe)
    held = wait_until(lambda: shop.celery.control.inspect(timeout=2, limit=1).scheduled(), 10.0, "the worker's answer")
    # The sleep ends in a second, which is beyond the horizon: it is a row, and nothing but a row.
    assert [tasks for tasks in held.values() if tasks] == []
    [sleep] = shop.ask(sa.select(schema.job).where(schema.job.c.kind == "sleep"))
    assert (sleep.hints, sleep.sweep_at) == (0, sleep.due_at - 500)


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
def test_a_message_is_scheduled_within_the_horizon(open_shop: OpenShop) -> None:
    shop = open_shop(horizon=60, sweep_interval=60, lease=60)
    shop.worker(pool="solo")
    shop.place(1)

    def scheduled() -> list[Any]:
        held = shop.celery.control.inspect(timeout=2, limit=1).scheduled() or {}
        return [task["request"]["kwargs"] for tasks in held.values() for task in tasks]

    [hint] = wait_until(scheduled, 10.0, shop.describe)
    [sleep] = shop.ask(sa.select(schema.job).where(schema.job.c.kind == "sleep"))
    assert hint == {"run": sleep.subject_id, "step": sleep.key}
    shop.wait_for_runs()
    shop.check(repeats=0)


@pytest.mark.databases("sqlite")
def test_the_broker_is_down_when_an_event_is_sent(
    database_url: str, tmp_path: Path, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Embedded(tmp_path / "broker", persist=False)
    broker.start()
    broker.stop()
    # It takes its former port again when it comes back.
    shop = Shop(database_url, broker.broker_url, tmp_path, start_worker)
    with caplog.at_level(logging.WARNING, logger="inngest_celery"):
        began = time.monotonic()
        shop.place(1)
        assert time.monotonic() - began < 2, "whoever sends an event must not wait for a broker"
    assert [record.action for record in caplog.records] == ["hint_failed"]  # type: ignore[attr-defined]
    assert [job.kind for job in shop.ask(sa.select(schema.job))] == ["route"]
    with broker:
        worker = shop.worker(pool="threads", concurrency=2)
        shop.wait_for_runs()
        shop.check(repeats=0)
        worker.sigkill()
    shop.close()


def test_only_our_tasks_acknowledge_late() -> None:
    app = Celery("mixed", broker="memory://", set_as_current=False)

    @app.task(name="theirs")  # type: ignore[untyped-decorator]
    def theirs() -> None:
        return None

    client = inngest.Inngest(app_id="ours", celery=app)
    before = dict(app.conf)

    @client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="x"))
    def fn(ctx: inngest.ContextSync) -> None:
        return None

    assert dict(app.conf) == before
    assert not theirs.acks_late
    assert app.tasks["ours/fn"].acks_late
    assert app.tasks["inngest.route"].acks_late
