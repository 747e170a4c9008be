"""Every misconfiguration is found, with its code; a deployment that is as it should be gets a clean bill."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from celery import Celery

import inngest_celery as inngest
from inngest_celery.cli.checks import clocks, configuration, flower, limits, registration, work
from inngest_celery.cli.checks.examination import examine
from inngest_celery.cli.checks.findings import Check, Deployment, Level, Workers
from inngest_celery.settings import settings_of
from inngest_celery.store import leases, schema
from inngest_celery.store.database import Database
from inngest_celery.testing.inline import Inline
from inngest_celery.worker.registry import described, functions_of
from inngest_celery.worker.runtime import runtime_of
from tests.cli.conftest import RunCli
from tests.own_redis import OwnRedis
from tests.worker_process import WorkerProcess

NAME = "w1@here"
StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def sound(shop: Celery) -> Deployment:
    """A deployment in which all is well, as far as can be seen without asking anybody."""
    shop.conf.update(broker_url="redis://127.0.0.1:1/0", result_backend="redis://127.0.0.1:1/0")
    rows = {key: described(shop, function, 0) for key, function in functions_of(shop).items()}
    return Deployment(
        app=shop,
        runtime=runtime_of(shop),
        settings=settings_of(shop),
        broker_up=True,
        migrated=True,
        workers=Workers(
            queues={NAME: frozenset({"celery"})},
            tasks={NAME: frozenset(row.task_name for row in rows.values())},
            pools={NAME: "celery.concurrency.prefork:TaskPool"},
        ),
        registered=rows,
        declared=rows,
    )


def codes(check: Check, deployment: Deployment) -> list[str]:
    return [finding.code for finding in check(deployment)]


def configured(deployment: Deployment, **conf: Any) -> Deployment:
    deployment.app.conf.update(conf)
    return dataclasses.replace(deployment, settings=settings_of(deployment.app))


OFFLINE: list[Check] = [
    configuration.eager,
    configuration.horizon,
    configuration.results,
    configuration.pool,
    configuration.sqlite,
    flower.task_events,
    flower.events_queue,
    registration.workers,
    registration.queues,
    registration.tasks,
    registration.registration,
]


def test_a_sound_deployment_has_no_findings(sound: Deployment) -> None:
    assert [codes(check, sound) for check in OFFLINE] == [[]] * len(OFFLINE)


@pytest.mark.parametrize(
    ("check", "conf", "code"),
    [
        (configuration.eager, {"task_always_eager": True}, "task_always_eager"),
        (configuration.horizon, {"inngest_horizon": 1201}, "horizon_too_long"),
        (
            configuration.horizon,
            {"broker_transport_options": {"visibility_timeout": 60}},
            "visibility_timeout_short",
        ),
        (configuration.horizon, {"broker_url": "amqp://localhost"}, "consumer_timeout_unknown"),
        (configuration.results, {"result_backend": None}, "result_backend_missing"),
        (configuration.results, {"task_ignore_result": True}, "task_ignore_result"),
        (configuration.pool, {"worker_pool": "gevent"}, "pool_green"),
        (flower.task_events, {"task_send_sent_event": True}, "task_send_sent_event"),
        (flower.task_events, {"inngest_flower_url": "http://flower:5555"}, "task_events_off"),
        (flower.events_queue, {"broker_url": "amqp://localhost", "event_queue_expires": None}, "event_queue_unbounded"),
    ],
)
def test_configuration(sound: Deployment, check: Check, conf: dict[str, Any], code: str) -> None:
    assert codes(check, configured(sound, **conf)) == [code]


def test_a_green_pool_is_seen_in_a_worker(sound: Deployment) -> None:
    workers = dataclasses.replace(sound.workers, pools={NAME: "celery.concurrency.eventlet:TaskPool"})
    assert codes(configuration.pool, dataclasses.replace(sound, workers=workers)) == ["pool_green"]


def test_a_sqlite_file_is_not_for_two_machines(sound: Deployment) -> None:
    workers = Workers(queues={"a@one": frozenset(), "b@two": frozenset()})
    assert codes(configuration.sqlite, dataclasses.replace(sound, workers=workers)) == ["sqlite_shared"]


def test_nobody_works(sound: Deployment) -> None:
    assert codes(registration.workers, dataclasses.replace(sound, workers=Workers())) == ["no_workers"]


def test_a_queue_that_nobody_consumes(sound: Deployment) -> None:
    workers = dataclasses.replace(sound.workers, queues={NAME: frozenset({"mail"})})
    [finding] = registration.queues(dataclasses.replace(sound, workers=workers))
    assert finding.code == "queue_without_worker"
    assert "shop-order" in finding.text
    assert "-Q celery" in finding.advice


def test_a_function_that_no_worker_has(sound: Deployment) -> None:
    workers = dataclasses.replace(sound.workers, tasks={NAME: frozenset({"shop/refuse"})})
    [finding] = registration.tasks(dataclasses.replace(sound, workers=workers))
    assert finding.code == "function_without_worker"
    assert "functions archive shop-order" in finding.advice


def test_a_worker_that_lacks_a_function_of_its_queue(sound: Deployment) -> None:
    workers = dataclasses.replace(
        sound.workers,
        queues={**sound.workers.queues, "w2@here": frozenset({"celery"})},
        tasks={**sound.workers.tasks, "w2@here": frozenset({"shop/refuse"})},
    )
    [finding] = registration.tasks(dataclasses.replace(sound, workers=workers))
    assert finding.code == "worker_without_function"
    assert finding.text.startswith("w2@here")


def test_registration(sound: Deployment) -> None:
    order, refuse = sound.registered["shop-order"], sound.registered["shop-refuse"]
    cases = {
        "function_not_registered": {refuse.id: refuse},
        "function_archived": {refuse.id: refuse, order.id: dataclasses.replace(order, archived_at=1)},
        "function_changed": {refuse.id: refuse, order.id: dataclasses.replace(order, checksum="another")},
    }
    for code, registered in cases.items():
        assert codes(registration.registration, dataclasses.replace(sound, registered=registered)) == [code]
    gone = dataclasses.replace(sound, declared={order.id: order})
    assert codes(registration.registration, gone) == ["function_not_in_code"]
    assert codes(registration.registration, dataclasses.replace(sound, declared={}, registered={})) == ["no_functions"]


def deployed(inline: Inline, shop: Celery, sound: Deployment) -> Deployment:
    return dataclasses.replace(sound, runtime=runtime_of(shop), settings=settings_of(shop))


def test_jobs_that_nobody_does(inline: Inline, shop: Celery, sound: Deployment, database: Database) -> None:
    deployment = deployed(inline, shop, sound)
    assert codes(work.sweep, deployment) == ["sweep_not_running"]
    now = deployment.runtime.clock.now()
    leases.acquire(database, "sweep", "w1", now=now, until=now + 60_000)
    assert codes(work.sweep, deployment) == []
    assert codes(work.unanswered, deployment) == []
    inline.send(inngest.Event(name="shop/ordered"))
    with database.transaction() as connection:
        connection.execute(sa.update(schema.job).values(sweep_at=now - 60_000, hints=9))
    assert codes(work.sweep, deployment) == ["jobs_overdue"]
    [finding] = work.unanswered(deployment)
    assert (finding.code, "shop/order on queue celery" in finding.text) == ("jobs_unanswered", True)


@pytest.mark.databases("postgres", "mariadb")
def test_the_clock_of_the_database(
    inline: Inline, shop: Celery, sound: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment, real = deployed(inline, shop, sound), time.time
    assert codes(clocks.database_clock, deployment) == []
    monkeypatch.setattr(time, "time", lambda: real() + 60)
    [finding] = clocks.database_clock(deployment)
    assert "60.0 s behind" in finding.text


@pytest.mark.brokers("valkey", "redis", "rabbitmq")
def test_the_clock_of_the_broker(sound: Deployment, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sound.app.conf.broker_url = broker_url
    assert codes(clocks.broker_clock, sound) == []
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 60)
    assert codes(clocks.broker_clock, sound) == (["clock_skew"] if broker_url.startswith("redis") else [])


@pytest.fixture
def limited(sound: Deployment) -> Deployment:
    """A deployment of which one function has a limit."""
    row = next(iter(sound.declared.values()))
    config = json.dumps({**json.loads(row.config), "concurrency": [{"limit": 1}]})
    return dataclasses.replace(sound, declared={row.id: dataclasses.replace(row, config=config)})


@pytest.mark.parametrize(
    ("broker", "code"), [("redis://127.0.0.1:1/0", "redis_unreachable"), ("amqp://127.0.0.1:1//", "redis_missing")]
)
def test_limits_need_a_redis(sound: Deployment, limited: Deployment, broker: str, code: str) -> None:
    limited.app.conf.broker_url = broker
    assert codes(limits.flow_redis, sound) == []
    assert codes(limits.flow_redis, limited) == [code]


@pytest.mark.brokers("valkey")
def test_a_redis_that_forgets(limited: Deployment, redis_url: str) -> None:
    limited.app.conf.broker_url = redis_url
    assert codes(limits.flow_redis, limited) == []
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert codes(limits.flow_redis, limited) == ["redis_evicts"]
        finally:
            client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.parametrize("broker", ["redis://:secret@127.0.0.1:1/0", "amqp://someone:secret@127.0.0.1:1//"])
def test_nothing_answers(cli: RunCli, shop: Celery, broker: str) -> None:
    shop.conf.update(broker_url=broker, inngest_database_url="postgresql+psycopg://a:secret@127.0.0.1:1/b")
    output = cli("doctor", status=1).output
    assert "broker_unreachable" in output
    assert "database_unreachable" in output
    assert "secret" not in output
    assert "2 problems" in output


def test_the_broker_takes_connections_and_answers_nothing(cli: RunCli, shop: Celery, tmp_path: Path) -> None:
    with closing(OwnRedis(tmp_path / "frozen")) as broker:
        shop.conf.update(broker_url=broker.url, broker_connection_timeout=0.3)
        broker.freeze()
        assert "broker_unreachable" in cli("doctor", status=1).output


@pytest.mark.parametrize("broker", ["reddis://127.0.0.1/0", "redis://127.0.0.1:port/0"])
def test_the_broker_is_of_no_kind(cli: RunCli, shop: Celery, broker: str) -> None:
    shop.conf.broker_url = broker
    found = json.loads(cli("doctor", "--json", status=1).output)
    assert [each["code"] for each in found if each["level"] == "problem"] == ["broker_url_invalid"]


def test_tables_are_missing(cli: RunCli, shop: Celery, empty_database_url: str) -> None:
    shop.conf.inngest_database_url = empty_database_url
    found = json.loads(cli("doctor", "--json", status=1).output)
    assert next(each["code"] for each in found if each["level"] == "problem") == "database_not_migrated"


def test_a_setting_is_misspelt(cli: RunCli, shop: Celery) -> None:
    shop.conf.inngest_horizn = 3
    [found] = json.loads(cli("doctor", "--json", status=1).output)
    assert found["code"] == "setting_invalid"


@pytest.mark.brokers("valkey")
@pytest.mark.databases("sqlite")
def test_a_real_deployment_is_well(
    broker_url: str, database_url: str, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Celery("startup", broker=broker_url, backend=broker_url)
    app.conf.update(inngest_database_url=database_url, inngest_sweep_interval=0.1)
    client = inngest.Inngest(app_id="startup", celery=app)

    @client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="user/joined"))
    def greet(ctx: inngest.ContextSync) -> None: ...

    assert "no_workers" in [finding.code for finding in examine(app, 0.2)]
    start_worker("tests.worker.startup_app", env={"BROKER": broker_url, "DATABASE": database_url}, pool="threads")
    assert [finding for finding in examine(app, 1.0) if finding.level is not Level.NOTE] == []
