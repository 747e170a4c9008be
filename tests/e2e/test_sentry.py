"""Sentry's own integration in workers with functions: it hears of a failing step what it hears of a failing task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import inngest_celery as inngest
from tests.conftest import StartWorker
from tests.e2e.web import Web
from tests.waiting import wait_until

LONG = 60.0


class Watched(Web):
    def describe(self) -> str:
        return self.journal.read_text()[:2000]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def errors(self) -> list[tuple[str, str, str]]:
        """The type, value and task of each error that was reported."""
        return [
            (
                event["exception"]["values"][-1]["type"],
                event["exception"]["values"][-1]["value"],
                event["transaction"],
            )
            for event in self.events()
            if "exception" in event
        ]


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
@pytest.mark.parametrize("slice_seconds", [0.25, 0.0], ids=["hot", "hop"])
def test_a_failing_step_is_reported_once_with_its_tasks_name(
    slice_seconds: float, database_url: str, broker_url: str, tmp_path: Path, start_worker: StartWorker
) -> None:
    web = Watched(
        "tests.e2e.sentry_app", database_url, broker_url, tmp_path, start_worker, slice=slice_seconds, lease=30
    )
    web.worker(pool="prefork", concurrency=1)
    [event_id] = web.client.send_sync(inngest.Event(name="watched/order", data={}))
    run = web.client.runs.wait(event_id, timeout=LONG)
    assert run.output == "LookupError"
    # A plain task of the same worker comes last: whatever came before it is written down.
    web.celery.send_task("watched.plain")
    wait_until(lambda: any(error[0] == "ValueError" for error in web.errors()), LONG, web.describe)
    assert web.errors() == [
        ("LookupError", "no such customer", "watched/order"),
        ("ValueError", "plain", "watched.plain"),
    ]
    web.close()
