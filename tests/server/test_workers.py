"""Real Celery workers call an app on the official SDK, and are killed meanwhile: nothing is lost or doubled."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import inngest as official
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from inngest import fast_api

import inngest_celery as inngest
from inngest_celery.server import syncing
from inngest_celery.server.application import create_app
from inngest_celery.server.options import Options
from inngest_celery.server.state import Server
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.outbox import Outbox
from inngest_celery.worker.runs import Runs
from tests.conftest import StartWorker
from tests.e2e.web import Web
from tests.server import typescript
from tests.server.dialling import dialled_in
from tests.server.web import served
from tests.services import missing
from tests.waiting import wait_until

PLACES = (
    "before_body",
    "after_body",
    "before_checkpoint",
    "after_checkpoint",
    "after_hint",
    "before_ack",
    "route_before_commit",
    "route_after_commit",
)
WORKER = "inngest_celery.server.worker_app"


class Deployment(Web):
    """A server with its database, broker and workers.

    Attributes:
        calls: how often each step's body was executed.
    """

    def __init__(self, database_url: str, broker_url: str, redis_url: str, directory: Path, start: StartWorker) -> None:
        super().__init__(WORKER, database_url, broker_url, directory, start, redis_url=redis_url, retry_interval=1)
        self.environment["CELERY_BROKER_URL"] = broker_url
        self.celery.conf.task_default_queue = "inngest"
        self.server = Server(self.runtime, Options(discovery=False, poll_interval=0))
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def serving(self, define: Callable[[official.Inngest], official.Function[Any]]) -> Iterator[official.Inngest]:
        """Serve, and have an app on the official SDK registered that serves one function."""
        with served(create_app(self.runtime, self.server.options)) as url:
            client = official.Inngest(app_id="orders", is_production=False, api_base_url=url, event_api_base_url=url)
            app = FastAPI()
            fast_api.serve(app, client, [define(client)])
            with served(app) as origin:
                self.app_url = f"{origin}/api/inngest"
                syncing.sync(self.server, self.app_url)
                yield client

    def note(self, name: str) -> str:
        """Note that a step's body is executed."""
        with self._lock:
            self.calls[name] += 1
        return name

    def describe(self) -> str:
        tables = (schema.run, schema.job, schema.wait)
        return "\n".join(
            f"{table.name}: {dict(row._mapping)}" for table in tables for row in self.ask(sa.select(table))[:10]
        )


@pytest.fixture
def deployment(
    database_url: str, broker_url: str, redis_url: str, tmp_path: Path, start_worker: StartWorker
) -> Iterator[Deployment]:
    deployment = Deployment(database_url, broker_url, redis_url, tmp_path, start_worker)
    yield deployment
    deployment.close()


def order(client: official.Inngest, note: Callable[[str], str]) -> official.Function[Any]:
    @client.create_function(fn_id="order", trigger=official.TriggerEvent(event="order/placed"))
    async def order(ctx: official.Context) -> Any:
        async def body(name: str) -> str:
            return note(f"{name} of {ctx.event.data['order']}")

        first = await ctx.step.run("reserve", body, "reserve")
        both = await ctx.group.parallel(
            (lambda: ctx.step.run("pack", body, "pack"), lambda: ctx.step.run("bill", body, "bill"))
        )
        await ctx.step.sleep("settle", timedelta(seconds=1))
        return [first, *both, await ctx.step.run("ship", body, "ship")]

    return order


@pytest.mark.pairs
def test_workers_die_at_every_boundary(deployment: Deployment) -> None:
    run = schema.run
    with deployment.serving(lambda client: order(client, deployment.note)) as client:
        deployment.worker(pool="prefork", concurrency=2)
        deployment.worker(pool="prefork", concurrency=2, slice=0)
        for number, place in enumerate(PLACES):
            deployment.order_crash(place)
            client.send_sync(official.Event(name="order/placed", data={"order": number}))
            deployment.wait_for_crash(place)
        ended = sa.select(run).where(run.c.status >= RunStatus.COMPLETED.value)
        wait_until(
            lambda: len(deployment.ask(ended)) == len(PLACES) and not deployment.count(schema.job),
            60,
            deployment.describe,
        )
    assert {row.status for row in deployment.ask(sa.select(run))} == {RunStatus.COMPLETED.value}, deployment.describe()
    steps = Counter((row.run_id, row.name) for row in deployment.ask(sa.select(schema.step)))
    assert len(steps) == 5 * len(PLACES)
    assert set(steps.values()) == {1}
    assert len(deployment.calls) == 4 * len(PLACES)
    assert sum(deployment.calls.values()) <= 4 * len(PLACES) + len(PLACES)


@pytest.mark.brokers("valkey")
@pytest.mark.databases("sqlite")
def test_an_app_that_is_away_is_asked_again(deployment: Deployment) -> None:
    app: FastAPI | None = None

    def define(client: official.Inngest) -> official.Function[Any]:
        nonlocal app

        @client.create_function(fn_id="fragile", trigger=official.TriggerEvent(event="order/placed"))
        async def fragile(ctx: official.Context) -> Any:
            async def body() -> str:
                return deployment.note("body")

            return await ctx.step.run("body", body)

        app = FastAPI()
        fast_api.serve(app, client, [fragile])
        return fragile

    with deployment.serving(define):
        pass
    # Nobody answers at its address now.
    deployment.worker()
    [event_id] = Outbox(deployment.runtime).send([inngest.Event(name="order/placed")])
    wait_until(lambda: deployment.count(schema.attempt), 60, deployment.describe)
    with served(app, int(urlsplit(deployment.app_url).port or 0)):
        ended = Runs(deployment.celery).wait(event_id, timeout=30)
    assert ended.output == "body"
    assert "cannot be reached" in deployment.ask(sa.select(schema.attempt))[0].error
    assert deployment.calls == {"body": 1}


@pytest.mark.skipif("node" in missing(), reason="there is no Node.js")
@pytest.mark.brokers("redis")
@pytest.mark.databases("postgres")
def test_a_worker_dies_while_an_app_goes_on_by_itself(deployment: Deployment, tmp_path: Path) -> None:
    """What the app has reported is not asked for again, and what it reports when another worker goes on is refused."""
    with (
        served(create_app(deployment.runtime, deployment.server.options)) as url,
        typescript.running(url, tmp_path / "node.log") as app,
    ):
        doomed = deployment.worker(pool="threads", concurrency=2)
        [event_id] = Outbox(deployment.runtime).send([inngest.Event(name="ts/slow")])
        wait_until(lambda: deployment.count(schema.step) == 2, 60, deployment.describe)
        doomed.sigkill()
        deployment.worker(pool="threads", concurrency=2)
        assert Runs(deployment.celery).wait(event_id, timeout=40).output == "slow"
        names = sorted(row.name for row in deployment.ask(sa.select(schema.step)))
        assert names == [f"slow-{number}" for number in range(4)]
        assert sum(app.calls.values()) <= 5
        assert deployment.count(schema.job) == 0


@pytest.mark.brokers("redis")
@pytest.mark.databases("postgres")
def test_a_run_starts_without_a_sweep(deployment: Deployment) -> None:
    def define(client: official.Inngest) -> official.Function[Any]:
        @client.create_function(fn_id="quick", trigger=official.TriggerEvent(event="order/placed"))
        async def quick(ctx: official.Context) -> str:
            return await ctx.step.run("step", body)

        async def body() -> str:
            return "done"

        return quick

    with deployment.serving(define) as client:
        deployment.worker(env={"INNGEST_SWEEP_INTERVAL": "3600"})
        [event_id] = client.send_sync(official.Event(name="order/placed"))
        assert Runs(deployment.celery).wait(event_id, timeout=60).output == "done"


@contextmanager
def dialler(url: str, deployment: Deployment, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of an app that dials in, meanwhile."""
    command = [sys.executable, "-m", "tests.server.apps.dialler", url, str(deployment.journal), str(deployment.gate)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.brokers("redis")
@pytest.mark.databases("postgres")
def test_apps_that_dial_in_die(deployment: Deployment, tmp_path: Path) -> None:
    """Their processes are killed and frozen, and a Celery worker, each with steps at hand: another takes over."""
    runs = 6

    def executed() -> list[str]:
        return deployment.journal.read_text().splitlines()

    def ready() -> int:
        assert deployment.runtime.redis_url is not None
        return len(deployment.runtime.channel.presence.all(deployment.runtime.clock.now()))

    with (
        served(create_app(deployment.runtime, deployment.server.options)) as url,
        dialler(url, deployment, tmp_path / "one.log") as killed,
        dialler(url, deployment, tmp_path / "other.log") as frozen,
    ):
        doomed = deployment.worker(pool="threads", concurrency=4)
        deployment.worker(pool="threads", concurrency=4)
        wait_until(lambda: ready() == 2, 60, "two connections")
        deployment.gate.touch()
        Outbox(deployment.runtime).send([inngest.Event(name="order/placed", data={"order": n}) for n in range(runs)])
        wait_until(lambda: len({line.split()[0] for line in executed()}) == 2, 60, deployment.describe)
        killed.kill()
        frozen.send_signal(signal.SIGSTOP)
        doomed.sigkill()
        with dialler(url, deployment, tmp_path / "third.log"):
            deployment.gate.unlink()
            wait_until(lambda: ready() == 3, 60, "the third connection")
            ended = sa.select(schema.run).where(schema.run.c.status >= RunStatus.COMPLETED.value)
            wait_until(lambda: len(deployment.ask(ended)) == runs, 100, deployment.describe)
            frozen.send_signal(signal.SIGCONT)
        wait_until(lambda: not deployment.count(schema.job), 60, deployment.describe)
    runs_ended = deployment.ask(sa.select(schema.run))
    assert {row.status for row in runs_ended} == {RunStatus.COMPLETED.value}, deployment.describe()
    steps = Counter((row.run_id, row.name) for row in deployment.ask(sa.select(schema.step)))
    assert len(steps) == 5 * runs
    assert set(steps.values()) == {1}
    # Eight calls at most were at hand when three processes were lost. As many may have gone to the frozen one before it
    # was known not to answer; it does them when it wakes, and nobody hears of it.
    assert len(executed()) <= 4 * runs + 2 * 8
    deployment.runtime.channel.close()


@pytest.mark.brokers("valkey")
@pytest.mark.databases("sqlite")
def test_limited_runs_wait_for_an_app_that_dials_in(deployment: Deployment) -> None:
    """Whoever is put back gives its place to the next, and all are done one by one when the app is there."""
    with served(create_app(deployment.runtime, deployment.server.options)) as url:
        client = official.Inngest(app_id="orders", is_production=False, api_base_url=url, event_api_base_url=url)

        @client.create_function(
            fn_id="one",
            trigger=official.TriggerEvent(event="order/placed"),
            retries=0,
            concurrency=[official.Concurrency(limit=1)],
        )
        async def one(ctx: official.Context) -> Any:
            return deployment.note("body")

        with dialled_in(client, [one]):
            pass
        deployment.worker(pool="threads", concurrency=4)
        Outbox(deployment.runtime).send([inngest.Event(name="order/placed") for _ in range(3)])
        put_back = sa.select(schema.job).where(schema.job.c.opts.contains("put_back"))
        wait_until(lambda: deployment.ask(put_back), 60, deployment.describe)
        with dialled_in(client, [one]):
            wait_until(lambda: not deployment.count(schema.job), 60, deployment.describe)
    runs = deployment.ask(sa.select(schema.run))
    assert [row.status for row in runs] == [RunStatus.COMPLETED.value] * 3
    assert deployment.count(schema.attempt) == 0
    assert deployment.calls == {"body": 3}
    deployment.runtime.channel.close()
