"""Nothing of a payload is in what a broker carries, nor in Flower, nor in a worker's log."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from kombu import Connection

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from tests.conftest import StartWorker
from tests.e2e.test_flower import flower_of
from tests.e2e.web import Web
from tests.masking import generated
from tests.masking.generated import Planted
from tests.waiting import wait_until
from tests.whole import whole

PLANTED = {"token": "planted-token", "mail": "ada.l@example.org", "code": "planted-code", "card": 4242424242424242}
RULES = [*generated.RULES, {"pattern": "regex:planted-[a-z]+"}]
EVENTS = 6
WORD = "un" + "spoken"
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")


class Masked(Web):
    def describe(self) -> str:
        return str([dict(row._mapping) for row in self.ask(schema.run.select())])


def found_in(text: str, payloads: Sequence[Planted] = ()) -> list[str]:
    """Give what is in a text as it is, or in a message's body, which brokers get in base64."""
    whole = text + "\n".join(_decoded(each) for each in _BASE64.findall(text))
    found = [str(value) for value in PLANTED.values() if str(value) in whole]
    return found + [secret for payload in payloads for secret in payload.found_in(whole)]


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode(errors="ignore")
    except ValueError:
        return ""


@contextmanager
def monitored(url: str) -> Iterator[list[str]]:
    """Collect all that a Redis is told meanwhile."""
    said: list[str] = []
    client = redis.Redis.from_url(url, socket_timeout=None)
    ready = threading.Event()

    def listen() -> None:
        try:
            with client.monitor() as monitor:
                ready.set()
                for command in monitor.listen():
                    said.append(command["command"])
                    if "the end of it" in command["command"]:
                        return
        finally:
            ready.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield said
    finally:
        with client:
            client.echo("the end of it")
            thread.join(10)


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
def test_a_broker_flower_and_a_log_have_nothing_of_a_payload(
    database_url: str, broker_url: str, tmp_path: Path, start_worker: StartWorker
) -> None:
    given = {"masking": json.dumps(RULES), "secret_key": "ab" * 32}
    web = Masked("tests.e2e.masked_app", database_url, broker_url, tmp_path, start_worker, **given)
    web.celery.conf.inngest_masking = RULES
    payloads = generated.some(EVENTS, secrets=10)
    with monitored(broker_url) as said:
        # One sends a message for every step, the other has steps in place.
        pools = (("prefork", 0), ("threads", 30))
        workers = [web.worker(pool=pool, options=["-E"], slice=slice) for pool, slice in pools]
        with flower_of(broker_url, tmp_path) as flower:
            data = [{**PLANTED, "more": payload.data} for payload in payloads]
            web.client.send_sync([inngest.Event(name="masked/go", data=each) for each in data])
            ended = schema.run.select().where(schema.run.c.status >= RunStatus.COMPLETED.value)
            # Of each event steps, callee and paced; a batch of each two; one that was put off.
            wait_until(lambda: len(web.ask(ended)) == 3 * EVENTS + EVENTS // 2 + 1, 60, web.describe, every=0.1)
            runs = {row.id for row in web.ask(schema.run.select())}
            pages = wait_until_shown(flower, runs)
        logged = "".join(worker.log for worker in workers)
    stored = whole([*web.ask(schema.step.select()), *web.ask(schema.run.select())])
    web.close()
    assert set(found_in(stored)) >= {"planted-token", "ada.l@example.org"}, "functions have it all"
    assert [payload.found_in(stored) for payload in payloads] == [list(payload.secrets) for payload in payloads]
    messages = "\n".join(said)
    assert not [each for each in (stored, messages, pages, logged) if WORD in each], "what is sealed, neither"
    assert "__inngest_secret__" in stored
    assert any("LPUSH" in each for each in said)
    assert "masked/steps" in messages + "".join(_decoded(each) for each in _BASE64.findall(messages))
    assert found_in(messages, payloads) == []
    assert found_in(pages, payloads) == []
    assert "[masked]" in pages
    assert found_in(logged, payloads) == []
    assert "[masked]" in logged


def wait_until_shown(flower: object, runs: set[str]) -> str:
    """Give what Flower's API shows once it has all runs."""
    import httpx

    assert isinstance(flower, httpx.Client)
    texts: list[str] = []

    def shown() -> bool:
        texts[:] = [flower.get("/api/tasks").raise_for_status().text]
        tasks = json.loads(texts[0])
        return runs <= {each for each, task in tasks.items() if task["state"] in ("SUCCESS", "FAILURE")}

    wait_until(shown, 20, "Flower to show all runs", every=0.1)
    return texts[0] + "".join(flower.get(f"/task/{each}").text for each in sorted(runs))


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("redis", "rabbitmq")
def test_a_hint_that_nobody_takes_has_ids_only(
    database_url: str, broker_url: str, tmp_path: Path, start_worker: StartWorker
) -> None:
    web = Masked("tests.e2e.masked_app", database_url, broker_url, tmp_path, start_worker)
    [event_id] = web.client.send_sync(inngest.Event(name="masked/go", data=PLANTED))
    with Connection(broker_url) as connection:
        queue = connection.SimpleQueue(web.celery.conf.task_default_queue)
        message = queue.get(timeout=10)
        whole = f"{message.body!r} {message.headers} {message.properties}"
        message.ack()
        queue.close()
    web.close()
    assert event_id in whole
    assert found_in(whole) == []
