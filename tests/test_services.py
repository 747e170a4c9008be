"""The fixtures themselves: each test gets something empty and its own, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from queue import Empty

import psutil
import pytest
import sqlalchemy as sa
from celery import Celery

from inngest_celery.flow.gate import connect
from tests.conftest import Brokers, DatabaseServers, StartWorker
from tests.matrix import BROKERS, DATABASES, available
from tests.nursery import ROOT
from tests.services import PREFIX, is_stale, stale_before
from tests.waiting import wait_until
from tests.worker_process import Pool, WorkerProcess

APP = "tests.echo_app"


def tables_of(url: str) -> set[str]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    return set(sa.inspect(engine).get_table_names())


def test_a_database_has_the_tables_and_no_rows(database_url: str) -> None:
    assert {"inngest_event", "inngest_run", "inngest_job"} <= tables_of(database_url)
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        assert connection.execute(sa.text("select count(*) from inngest_job")).scalar() == 0


def test_an_empty_database_is_empty(empty_database_url: str) -> None:
    assert tables_of(empty_database_url) == set()


@pytest.mark.parametrize("kind", available(DATABASES))
def test_a_database_is_removed_under_an_open_transaction(kind: str, database_servers: DatabaseServers) -> None:
    server = database_servers(kind)
    url = server.create(tables=False)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    connection = engine.connect()
    connection.execute(sa.text("create table t (n integer)"))
    connection.execute(sa.text("insert into t values (1)"))
    server.remove(url)
    connection.invalidate()
    if kind == "sqlite":
        assert not Path(sa.make_url(url).database or "").exists()
        return
    with pytest.raises(sa.exc.OperationalError):
        engine.connect()


@pytest.mark.parametrize("kind", available(BROKERS))
def test_a_broker_is_empty_each_time(kind: str, brokers: Brokers) -> None:
    for _ in range(2):
        app = Celery(broker=brokers(kind).empty())
        with app.connection_for_write() as connection, connection.SimpleQueue("celery") as messages:
            with pytest.raises(Empty):
                messages.get(block=False)
            messages.put("message")


def test_flow_control_has_a_redis(redis_url: str) -> None:
    client = connect(redis_url)
    assert client.dbsize() == 0
    client.set("a", "b")
    client.close()


@pytest.mark.pairs
def test_flow_control_shares_the_broker_where_it_can(database_url: str, broker_url: str, redis_url: str) -> None:
    assert database_url
    assert (redis_url == broker_url) == broker_url.startswith("redis")


def test_another_process_claims_another_redis_database(brokers: Brokers) -> None:
    if "redis" not in available(BROKERS):
        pytest.skip("no Redis")
    code = "from tests.brokers import *; b = open_broker('redis', Path()); print(b.empty()); import os; {end}"
    urls = []
    # The second takes over what the first, which dies without a word, had claimed.
    for end in ("os.kill(os.getpid(), 9)", "b.close()"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(end=end)], cwd=ROOT, check=False, capture_output=True, text=True
        )
        assert done.stdout, done.stderr
        urls.append(done.stdout.strip())
    assert brokers("redis").empty() not in urls
    assert urls[0] == urls[1]


def test_names_tell_their_age() -> None:
    assert is_stale(f"{PREFIX}5f000000_abc_1")
    assert not is_stale(f"{stale_before()}_abc_1")
    assert not is_stale("production")


def test_a_required_service_must_be_there() -> None:
    environment = {**os.environ, "TEST_REDIS_URL": "redis://127.0.0.1:1", "INNGEST_TEST_REQUIRE": "redis"}
    environment.pop("_INNGEST_TEST_FOUND")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/test_services.py", "-k", "age"],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "redis is required for this run, but cannot be used" in done.stderr


@pytest.mark.brokers("valkey", "rabbitmq")
@pytest.mark.parametrize("pool", ["solo", "prefork", "threads"])
def test_a_worker_runs_and_stops(pool: Pool, broker_url: str, start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker(APP, pool=pool, concurrency=2, env={"BROKER": broker_url})
    proof = tmp_path / "proof"
    Celery(broker=broker_url).send_task("echo", [str(proof)])
    wait_until(proof.exists, message="the task")
    worker.stop()
    assert not worker.alive


@pytest.mark.brokers("valkey")
def test_a_worker_can_be_killed_and_frozen(broker_url: str, start_worker: StartWorker) -> None:
    worker: WorkerProcess = start_worker(APP, pool="prefork", concurrency=2, env={"BROKER": broker_url})
    children = worker.children()
    assert len(children) == 2
    assert worker.sigkill_child() == children[0].pid
    wait_until(lambda: len(worker.children()) == 2 and children[0] not in worker.children(), message="a new child")
    worker.sigstop()
    wait_until(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED, message="the freeze")
    worker.sigcont()
    wait_until(lambda: psutil.Process(worker.pid).status() != psutil.STATUS_STOPPED, message="the thaw")
    worker.sigkill()
    assert not worker.alive
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_a_worker_that_cannot_start_says_why(start_worker: StartWorker) -> None:
    with pytest.raises(AssertionError, match="no_such_module"):
        start_worker("no_such_module")
