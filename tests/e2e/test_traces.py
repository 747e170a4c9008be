"""Spans of real workers, beside those that OpenTelemetry's own instrumentation of Celery makes of tasks."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from opentelemetry import trace

import inngest_celery as inngest
from tests.conftest import StartWorker
from tests.waiting import wait_until

SENDER = trace.SpanContext(0x7A, 0x7B, True, trace.TraceFlags(1))


@pytest.mark.databases("postgres")
@pytest.mark.brokers("redis")
def test_one_trace_for_all_processes(
    database_url: str, broker_url: str, tmp_path: Path, start_worker: StartWorker
) -> None:
    exported = tmp_path / "spans"
    environment = {"BROKER": broker_url, "INNGEST_DATABASE_URL": database_url, "SPANS": str(exported)}
    # Every step is a message, most of which go to another process.
    start_worker("tests.e2e.traced_app", pool="prefork", concurrency=2, env={**environment, "INNGEST_SLICE": "0"})
    with closing(Celery("web", broker=broker_url, set_as_current=False)) as web:
        web.conf.inngest_database_url = database_url
        client = inngest.Inngest(app_id="web", celery=web)
        with trace.use_span(trace.NonRecordingSpan(SENDER)):
            [event_id] = client.send_sync(inngest.Event(name="test/go"))
        run = client.runs.wait(event_id, timeout=60)

    def spans() -> list[dict[str, Any]]:
        return [json.loads(line) for line in exported.read_text().splitlines()]

    def all_told() -> bool:
        names = [span["name"] for span in spans()]
        return "run traced-fn" in names and names.count("run/traced/fn") == 3 and "run/inngest.route" in names

    wait_until(all_told, message=lambda: exported.read_text())
    found = spans()
    by_id = {span["context"]["span_id"]: span for span in found}

    def path(span: dict[str, Any]) -> list[str]:
        parent = by_id.get(span["parent_id"])
        return [*(path(parent) if parent is not None else [span["parent_id"]]), span["name"]]

    assert {span["context"]["trace_id"] for span in found} == {f"0x{SENDER.trace_id:032x}"}
    run_path = [f"0x{SENDER.span_id:016x}", "run traced-fn"]
    paths = [path(span) for span in found]
    for step in ("first", "last"):
        assert [*run_path, f"step {step}", f"attempt {step}", "query"] in paths
    assert [*run_path, "step nap"] in paths
    # The tasks of the run, and the messages that they came as, are in it too.
    assert paths.count([*run_path, "apply_async/traced/fn", "run/traced/fn"]) == 3
    assert [f"0x{SENDER.span_id:016x}", "run/inngest.route"] in paths
    # Each attempt says in which task it was made.
    tasks = {span["context"]["span_id"] for span in found if span["name"] == "run/traced/fn"}
    attempts = [span for span in found if span["name"].startswith("attempt")]
    assert {link["context"]["span_id"] for span in attempts for link in span["links"]} <= tasks
    assert all(span["links"] for span in attempts)
    assert {span["attributes"]["inngest.run.id"] for span in attempts} == {run.id}
