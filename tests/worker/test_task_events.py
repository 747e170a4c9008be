"""The end of chosen Celery tasks as events: signals of real tasks, applied here."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from celery import Celery, signals

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.worker import task_events
from inngest_celery.worker.task_events import tell_tasks
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")
_SIGNALS = ("prerun", "success", "failure", "retry", "revoked")
_UIDS = ("began", "succeeded", "failed", "retried", "revoked")


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    yield
    for signal, uid in zip(_SIGNALS, _UIDS, strict=True):
        getattr(signals, f"task_{signal}").disconnect(dispatch_uid=f"inngest_{uid}")


@pytest.fixture
def bench(database_url: str) -> Bench:
    return Bench(database_url, inngest_task_events=["own.*"])


def define(app: Celery) -> dict[str, Any]:
    def pay(amount: object) -> object:
        return {"paid": amount}

    def fail(customer: str) -> None:
        raise LookupError(f"no {customer}")

    def again(self: Any) -> int:
        if self.request.retries == 0:
            raise self.retry(exc=OSError("not yet"), countdown=0)
        return 1

    made = {name: app.task(name=f"own.{name}", shared=False)(body) for name, body in (("pay", pay), ("fail", fail))}
    made["again"] = app.task(name="own.again", shared=False, bind=True)(again)
    made["other"] = app.task(name="other.pay", shared=False)(pay)
    return made


def told(bench: Bench) -> list[tuple[str, dict[str, Any]]]:
    event = schema.event
    with bench.database.autocommit() as connection:
        query = sa.select(event).where(event.c.name.like("celery/%")).order_by(event.c.id)
        return [(row.name, json.loads(row.data)) for row in connection.execute(query)]


def test_success_failure_and_retry_are_told(bench: Bench) -> None:
    tasks = define(bench.app)
    assert bench.inline.drain() == 0
    tell_tasks(bench.app)
    thing = object()
    tasks["pay"].apply((thing,), task_id="t1")
    tasks["fail"].apply(("ada",), task_id="t2")
    tasks["again"].apply(task_id="t3")
    tasks["other"].apply((1,))
    events = told(bench)
    assert [name for name, _ in events] == [
        "celery/task.succeeded",
        "celery/task.failed",
        "celery/task.retried",
        "celery/task.succeeded",
    ]
    (_, paid), (_, failed), (_, retried), (_, second) = events
    assert paid.pop("runtime") >= 0
    assert paid == {
        "task": "own.pay",
        "id": "t1",
        "args": [repr(thing)],
        "kwargs": {},
        "result": {"paid": repr(thing)},
        "retries": 0,
        "queue": "",
    }
    assert failed["error"]["name"] == "LookupError"
    assert failed["error"]["message"] == "no ada"
    assert "in fail" in failed["error"]["stack"]
    assert (retried["retries"], retried["error"]["name"], second["retries"]) == (0, "OSError", 1)


def test_they_trigger_functions_once_and_end_waits_and_functions_are_not_told_of(bench: Bench) -> None:
    tasks = define(bench.app)
    bench.app.conf.inngest_task_events = ["*"]

    @bench.function(
        trigger=inngest.TriggerEvent(event="celery/task.failed", expression="event.data.task == 'own.fail'")
    )
    def fn(ctx: inngest.ContextSync) -> Any:
        found = ctx.step.wait_for_event(
            "paid", event="celery/task.succeeded", if_exp="async.data.args[0] == event.data.args[0]", timeout=60_000
        )
        assert found is not None
        return [ctx.event.data["error"]["message"], found.data["result"]]  # type: ignore[index]

    assert bench.inline.drain() == 0
    tell_tasks(bench.app)
    # The message of a task that is acknowledged late came twice.
    for _ in range(2):
        tasks["fail"].apply(("ada",), task_id="t1")
        bench.inline.drain()
    tasks["pay"].apply(("ada",))
    bench.inline.drain()
    [run] = bench.inline.runs.list(function_id="app-fn")
    assert run.output == ["no ada", {"paid": "ada"}]
    assert {data["task"] for _, data in told(bench)} == {"own.fail", "own.pay"}


def test_nothing_listens_where_nothing_is_asked_for(bench: Bench) -> None:
    bench.app.conf.inngest_task_events = []
    before = len(signals.task_success.receivers or [])
    tell_tasks(bench.app)
    assert len(signals.task_success.receivers or []) == before


def test_a_database_that_is_away_holds_no_task_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(task_events, "PATIENCE_S", 0.2)
    bench.app.conf.inngest_database_url = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    tasks = define(bench.app)
    tell_tasks(bench.app)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert [tasks["pay"].apply((number,)).get() for number in range(50)] == [{"paid": n} for n in range(50)]
    # One has waited for its event; the others knew better.
    assert time.monotonic() - began < 5
    assert [record.action for record in caplog.records if hasattr(record, "action")] == ["task_event_late"]
