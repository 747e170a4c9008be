"""The page of workers: who answers, who consumes what, and what nobody does."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from urllib.parse import quote

import pytest
from celery import Celery, _state
from celery.contrib.testing.worker import start_worker

import inngest_celery as inngest
from inngest_celery.drivers.connect.presence import Connection, ServedApp, Status
from inngest_celery.store import leases
from inngest_celery.worker.inspection import Inspected, Inspection, QueueInfo
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.stage import Stage, staged
from tests.waiting import wait_until

pytestmark = pytest.mark.databases("sqlite")


@contextmanager
def shop(database_url: str, **settings: object) -> Iterator[Stage]:
    """A function on the default queue, and one on a queue that nobody consumes."""
    bench = Bench(database_url, **settings)

    @bench.function("pay")
    def pay(ctx: inngest.ContextSync) -> None: ...

    @bench.function("report", celery_options={"queue": "slow"})
    def report(ctx: inngest.ContextSync) -> None: ...

    with staged(bench) as stage:
        yield stage
    bench.close()


def page(stage: Stage, path: str) -> str:
    answer = stage.http.get(path)
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.text)))


def test_what_is_known_without_asking_is_there_at_once(database_url: str) -> None:
    with shop(database_url, broker_url="redis://127.0.0.1:1/0") as stage:
        shown = page(stage, "/workers")
        assert "No worker sweeps" in shown
        assert "celery 1 function slow 1 function" in shown
        leases.acquire(stage.bench.database, leases.SWEEP, "host:1", now=stage.bench.now, until=stage.bench.now + 1000)
        assert "The sweep is done by host:1" in page(stage, "/workers")
        assert "The broker does not answer" in page(stage, "/workers?ask=1")


@pytest.fixture
def process() -> Iterator[None]:
    """The process as it was before: a worker within it takes its log, and makes its app everybody's."""
    root, default, current = logging.getLogger(), _state.default_app, _state._tls.current_app
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    _state.default_app, _state._tls.current_app = default, current


def dialled_in(now: int) -> Connection:
    """An app that has dialled in."""
    return Connection(
        id="01",
        gateway_id="02",
        instance_id="web-1",
        address="10.0.0.7",
        apps=[ServedApp("billing", "v7", 3)],
        most=12,
        sdk="js",
        sdk_version="3.40.1",
        platform="",
        cpu_cores=2,
        mem_bytes=1,
        os="linux",
        connected_at=now,
        heard_at=now,
        status=Status.READY,
    )


def send(app: Celery, name: str) -> None:
    """Put a message into a queue."""
    with app.connection_for_write() as connection:
        queue = connection.SimpleQueue(name)
        queue.put("something")
        queue.close()


@pytest.mark.usefixtures("process")
@pytest.mark.brokers("valkey")
def test_workers_and_queues_tell_of_themselves(database_url: str, broker_url: str) -> None:
    with shop(database_url, broker_url=broker_url, inngest_flower_url="https://flower.test/") as stage:
        app = stage.bench.app
        runtime_of(app).channel.presence.report(dialled_in(stage.bench.now))
        # The worker's own answers are made for the current app.
        app.set_current()
        send(app, "slow")
        with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
            # On a busy machine its answer may come too late once.
            shown = wait_until(lambda: said if "@" in (said := page(stage, "/workers?ask=1")) else "", 30)
        [name] = set(re.findall(r"\S+@\S+", shown))
        assert f"{name} process" in shown
        assert re.search(r"solo 0 of \d+ celery \d+", shown)
        assert f"celery 0 {name} app-pay" in shown
        assert "slow 1 nobody app-report" in shown
        assert "No worker consumes queue slow, which is used by app-report. Start one with -Q slow." in shown
        assert "billing v7 ready web-1 10.0.0.7 js 3.40.1 12" in shown
        assert f'href="https://flower.test/worker/{quote(name)}"' in stage.http.get("/workers?ask=1").text
        assert "no worker answers" not in shown.lower()


@pytest.mark.brokers("rabbitmq")
def test_queues_that_nobody_has_made_are_empty(broker_url: str) -> None:
    app = Celery("rabbit", broker=broker_url, set_as_current=False)
    send(app, "m")
    found = Inspection(runtime_of(app), timeout=0.1).look(["a", "m", "z"])
    assert found == Inspected([], [QueueInfo("a", 0, []), QueueInfo("m", 1, []), QueueInfo("z", 0, [])])
