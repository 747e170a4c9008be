"""A function's Celery options on real workers: its queue, and time limits that end a step."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

import inngest_celery as inngest
from tests.conftest import StartWorker
from tests.waiting import wait_until

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]

APP = "tests.e2e.limits_app"


@pytest.fixture
def environment(database_url: str, broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = {"BROKER": broker_url, "DATABASE": database_url, "JOURNAL": str(tmp_path / "journal")}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # The module reads its addresses when it is imported.
    monkeypatch.delitem(sys.modules, APP, raising=False)
    return variables


def outcome(name: str) -> Any:
    """Send an event and give the output of the run that it starts."""
    app = importlib.import_module(APP)
    [event_id] = app.client.send_sync(inngest.Event(name=name))
    [run] = wait_until(lambda: app.client.runs.of_event(event_id), 10, "the run")
    return app.client.runs.wait(run.id, timeout=60)


def test_a_soft_time_limit_fails_the_attempt(environment: dict[str, str], start_worker: StartWorker) -> None:
    start_worker(APP, pool="prefork", concurrency=1, env=environment)
    assert outcome("limits/slow").output == "quick this time"


def test_a_hard_time_limit_kills_the_process_and_not_the_run(
    environment: dict[str, str], start_worker: StartWorker
) -> None:
    start_worker(APP, pool="prefork", concurrency=1, env=environment)
    assert outcome("limits/stuck").output == "a new process did it"


def test_a_function_runs_on_its_queue(environment: dict[str, str], start_worker: StartWorker) -> None:
    start_worker(APP, queues=["celery"], env={**environment, "WORKER": "celery"})
    start_worker(APP, queues=["mail"], env={**environment, "WORKER": "mail"})
    assert outcome("limits/mail").output == "mail"
