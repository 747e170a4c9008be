"""A worker starts whole or not at all: it looks at its database before it takes a message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from celery import Celery
from sqlalchemy.orm import Session

import inngest_celery as inngest
from inngest_celery.store.database import Database, DatabaseError
from inngest_celery.store.errors import MigrationNeeded
from inngest_celery.store.migrate import MigrationState, state_of, upgrade
from tests.nursery import ROOT
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

APP = "tests.worker.startup_app"
Start = Callable[..., WorkerProcess]


@pytest.fixture
def begin(tmp_path: Path, broker_url: str) -> Iterator[Start]:
    """Starts a worker without waiting for it to be ready."""
    workers = []

    def begin(**env: str) -> WorkerProcess:
        worker = WorkerProcess(APP, tmp_path / "w.log", env={"BROKER": broker_url, **env}, pool="prefork")
        workers.append(worker)
        return worker

    yield begin
    for worker in workers:
        worker.close()


@pytest.mark.brokers("valkey")
@pytest.mark.databases("sqlite")
def test_a_worker_refuses_a_database_that_is_not_migrated(begin: Start, empty_database_url: str) -> None:
    worker = begin(DATABASE=empty_database_url)
    wait_until(lambda: not worker.alive, 60, lambda: worker.log)
    assert "inngest migrate" in worker.log
    assert "(database_not_migrated)" in worker.log
    assert "Traceback" not in worker.log
    assert " ready." not in worker.log


@pytest.mark.brokers("valkey")
def test_a_worker_refuses_a_database_that_it_cannot_reach(begin: Start) -> None:
    worker = begin(DATABASE="postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing")
    wait_until(lambda: not worker.alive, 60, lambda: worker.log)
    assert "(database_unreachable)" in worker.log
    assert "secret" not in worker.log


@pytest.mark.brokers("valkey")
def test_a_worker_makes_the_tables_of_the_default_database(
    tmp_path: Path, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    worker = WorkerProcess(APP, tmp_path / "w.log", env={"BROKER": broker_url, "PYTHONPATH": str(ROOT)})
    try:
        worker.wait_ready()
        database = Database(f"sqlite:///{tmp_path / '.inngest' / 'inngest.db'}")
        assert state_of(database) is MigrationState.CURRENT
    finally:
        worker.close()


def client_on(url: str) -> inngest.Inngest:
    app = Celery("sender", broker="redis://127.0.0.1:1/0")
    app.conf.inngest_database_url = url
    return inngest.Inngest(app_id="sender", celery=app)


def test_sending_to_a_database_that_is_not_migrated(empty_database_url: str) -> None:
    client, event = client_on(empty_database_url), inngest.Event(name="user/joined")
    with pytest.raises(MigrationNeeded, match="inngest migrate") as caught:
        client.send_sync(event)
    assert caught.value.code == "database_not_migrated"
    with Session(Database(empty_database_url).engine) as session, pytest.raises(MigrationNeeded):
        client.send_sync(event, session=session)


def test_sending_to_a_database_that_does_not_answer() -> None:
    client = client_on("postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseError) as caught:
        client.send_sync(inngest.Event(name="user/joined"))
    assert caught.value.code == "database_unreachable"


@pytest.mark.brokers("valkey")
@pytest.mark.databases("sqlite")
def test_a_database_of_a_newer_release_is_a_warning(begin: Start, empty_database_url: str) -> None:
    """During a rollout the old workers must be able to start again."""
    database = Database(empty_database_url)
    upgrade(database)
    with database.transaction() as connection:
        connection.execute(sa.text("update inngest_alembic_version set version_num = 'later'"))
    worker = begin(DATABASE=empty_database_url)
    worker.wait_ready()
    assert "newer release" in worker.log


@pytest.mark.brokers("rabbitmq")
@pytest.mark.databases("sqlite")
def test_a_worker_refuses_limits_that_it_has_no_redis_for(begin: Start, database_url: str) -> None:
    worker = begin(DATABASE=database_url, THROTTLED="yes")
    wait_until(lambda: not worker.alive, 60, lambda: worker.log)
    assert "inngest_redis_url" in worker.log
    assert "(redis_missing)" in worker.log
    assert "Traceback" not in worker.log


@pytest.mark.brokers("rabbitmq")
@pytest.mark.databases("sqlite")
def test_a_worker_without_limits_needs_no_redis(begin: Start, database_url: str) -> None:
    worker = begin(DATABASE=database_url)
    worker.wait_ready()
    assert "redis" not in worker.log
