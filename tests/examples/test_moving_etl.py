"""A Flask project's import on its way from tasks that send themselves again to a durable function."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from examples.moving.etl import vendor
from tests.conftest import StartWorker
from tests.waiting import wait_until

LONG = 60
STEPS = ("before", "step_1", "step_2")
PACKAGE = "examples.moving.etl"

pytestmark = [pytest.mark.databases("postgres"), pytest.mark.brokers("redis")]


class Project:
    """The project's workers, at whatever step, and whoever sends the import's name, as beat does."""

    def __init__(self, environment: dict[str, str], start_worker: StartWorker, asked: Counter[str]) -> None:
        self._environment = environment
        self._start = start_worker
        self.asked = asked
        project = importlib.import_module(f"{PACKAGE}.project")
        self.app = project.create_celery(project.create_app())
        self.engine = sa.create_engine(environment["INNGEST_DATABASE_URL"])
        self._lines = project.lines
        self._lines.create(self.engine)

    def worker(self, step: str) -> Any:
        return self._start(f"{PACKAGE}.{step}", pool="threads", concurrency=2, env=self._environment)

    def send(self) -> Any:
        entry = self.app.conf.beat_schedule["nightly"]
        return self.app.send_task(entry["task"], entry["args"])

    def close(self) -> None:
        """Leave the database, which another test gets, as it was."""
        self._lines.drop(self.engine)
        self.engine.dispose()

    def numbers(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(self._lines.c.number)).scalars())


@pytest.fixture
def project(
    database_url: str, broker_url: str, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    with vendor.vendor() as (url, asked):
        environment = {
            "BROKER_URL": broker_url,
            "RESULT_BACKEND": broker_url,
            "VENDOR_URL": url,
            "INNGEST_DATABASE_URL": database_url,
            "INNGEST_SWEEP_INTERVAL": "0.2",
            "INNGEST_RETRY_INTERVAL": "0.1",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in [name for name in sys.modules if name.startswith(PACKAGE) and name != vendor.__name__]:
            monkeypatch.delitem(sys.modules, name)
        project = Project(environment, start_worker, asked)
        yield project
        project.close()


@pytest.mark.parametrize("step", STEPS)
def test_the_import_does_what_it_did(step: str, project: Project) -> None:
    project.worker(step)
    expected = {"source": "bank", "lines": vendor.PAGES * vendor.LINES}
    assert project.send().get(timeout=LONG) == expected
    assert sorted(project.numbers()) == sorted(f"bank-1/{each}" for each in range(expected["lines"]))  # type: ignore[call-overload]
    assert project.asked["/exports/bank"] == 1
    assert project.asked["/ready/bank-1"] == vendor.LOOKS
    assert project.asked["/pages/bank-1/1"] == 2
    # The next night.
    assert project.send().get(timeout=LONG) == expected
    assert len(project.numbers()) == 2 * vendor.PAGES * vendor.LINES


@pytest.mark.parametrize(("step", "following"), [("before", "step_1"), ("step_1", "step_2")])
def test_what_is_on_its_way_arrives(step: str, following: str, project: Project) -> None:
    worker = project.worker(step)
    begun = project.send()
    wait_until(lambda: project.asked["/exports/bank"] == 1, LONG, "the import to begin")
    worker.stop()
    waiting = project.send()
    project.worker(following)
    for result in (begun, waiting):
        assert result.get(timeout=LONG)["lines"] == vendor.PAGES * vendor.LINES
    assert project.asked["/exports/bank"] == 2
    assert len(set(project.numbers())) == len(project.numbers()) == 2 * vendor.PAGES * vendor.LINES
