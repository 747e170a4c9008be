"""Brokers that take a connection and never answer, or do not even take it: sending takes so long and no longer."""

from __future__ import annotations

import importlib
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.worker.broker import producer_of
from inngest_celery.worker.runtime import runtime_of
from tests.conftest import StartWorker
from tests.own_redis import OwnRedis
from tests.relay import Relay
from tests.waiting import wait_until

APP = "tests.e2e.canvas_app"
BOUND = 1.0
# A machine that is busy with other tests may be late; one that waits for ever is later.
LONG = 20
EVENT = inngest.Event(name="canvas/add", data={"number": 1})
OpenApp = Callable[[str], Any]

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def open_app(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenApp]:
    """Opens an app with a broker at this address, whose patience is short."""
    opened: list[Any] = []

    def open_one(broker: str) -> Any:
        for name, value in {"BROKER": broker, "BACKEND": "cache+memory://", "DATABASE": database_url}.items():
            monkeypatch.setenv(name, value)
        # The module reads its addresses when it is imported.
        monkeypatch.delitem(sys.modules, APP, raising=False)
        opened.append(importlib.import_module(APP))
        opened[-1].app.conf.broker_connection_timeout = BOUND
        return opened[-1]

    yield open_one
    for each in opened:
        runtime_of(each.app).database.dispose()
        each.app.close()


@pytest.fixture
def relay(broker_url: str) -> Iterator[Relay]:
    opened = Relay(broker_url)
    yield opened
    opened.close()


@pytest.fixture
def full() -> Iterator[str]:
    """The address of a machine that answers no request for a connection, as one that is gone does not."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        with socket.create_connection(address):
            yield f"127.0.0.1:{address[1]}"


def send(opened: Any, caplog: pytest.LogCaptureFixture, *, swept: bool = False) -> str:
    """Send an event to where nobody answers, and give its id. ``swept``: a worker's sweep may already be at it."""
    began = time.monotonic()
    [event_id] = opened.client.send_sync(EVENT)
    assert BOUND * 0.9 < time.monotonic() - began < LONG
    assert "will be sent by a worker's sweep" in caplog.text
    with runtime_of(opened.app).database.autocommit() as connection:
        [job] = connection.execute(schema.job.select()).all()
    assert job.subject_id == event_id
    assert swept or job.sweep_at <= runtime_of(opened.app).clock.now()
    return str(event_id)


@pytest.mark.brokers("valkey", "rabbitmq")
@pytest.mark.parametrize("when", ["from the start", "once connected"])
def test_a_broker_that_takes_connections_and_says_nothing(
    when: str, relay: Relay, open_app: OpenApp, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_app(relay.url)
    if when == "once connected":
        with producer_of(opened.app):
            pass
    relay.silence()
    send(opened, caplog)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_machine_that_is_gone(scheme: str, full: str, open_app: OpenApp, caplog: pytest.LogCaptureFixture) -> None:
    send(open_app(f"{scheme}://{full}/"), caplog)


def test_what_the_app_says_of_its_broker_holds(
    own_redis: OwnRedis, open_app: OpenApp, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_app(own_redis.url)
    opened.app.conf.broker_connection_timeout = 10 * LONG
    opened.app.conf.broker_transport_options = {"socket_timeout": BOUND}
    own_redis.freeze()
    send(opened, caplog)


@pytest.mark.parametrize("when", ["before the first message", "after one"])
def test_a_broker_that_is_frozen_and_comes_back(
    when: str,
    own_redis: OwnRedis,
    open_app: OpenApp,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    opened = open_app(own_redis.url)
    start_worker(APP, pool="threads", concurrency=2)
    if when == "after one":
        [first] = opened.client.send_sync(EVENT)
        wait_until(lambda: ended(opened, first), LONG, "the first run")
    own_redis.freeze()
    event_id = send(opened, caplog, swept=True)
    assert opened.client.runs.of_event(event_id) == []
    own_redis.thaw()
    wait_until(lambda: ended(opened, event_id), LONG, "the run that the sweep delivers")


def ended(opened: Any, event_id: str) -> bool:
    return any(run.output == 2 for run in opened.client.runs.of_event(event_id))
