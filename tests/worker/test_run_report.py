"""The report of one run: models, approvals, errors, who did what; and a hash that tells whether it was changed."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.sent_by import SentBy
from inngest_celery.worker import auditing, run_report
from inngest_celery.worker.auditing import Actor
from inngest_celery.worker.outbox import outbox
from inngest_celery.worker.report_text import as_markdown
from inngest_celery.worker.resending import resend
from inngest_celery.worker.runs import RunNotFoundError
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")

ANSWER = {"model": "m-1", "usage": {"input_tokens": 7, "output_tokens": 2}, "content": "pay | `them`"}


@pytest.fixture
def bench(database_url: str) -> Any:
    bench = Bench(database_url)
    yield bench
    bench.close()


def define(bench: Bench) -> None:
    failures = iter([ValueError("busy")])

    def ask() -> dict[str, Any]:
        for failure in failures:
            raise failure
        return ANSWER

    @bench.function(retries=1)
    def fn(ctx: Any) -> None:
        ctx.step.run("ask", ask, cost=0.25)
        ctx.step.wait_for_event(
            "approve", event="pay/approved", if_exp="async.data.n == event.data.n", timeout=timedelta(days=1)
        )


def test_a_run_with_a_model_and_an_approval(bench: Bench) -> None:
    define(bench)
    run = bench.run(n=1)
    bench.advance(minutes=5)
    runtime = runtime_of(bench.app)
    [waits] = run_report.report(runtime, run.id)["approvals"]
    assert (waits["outcome"], waits["asked_for"], waits["answer"]) == ("waits", "pay/approved", None)
    auditing.begin(runtime, Actor("ada", "session", "operator"), "run.watch", run.id, outcome="done")
    bench.send("pay/approved", n=1, by="ada")
    made = run_report.report(runtime, run.id)
    assert made["run"]["status"] == "completed"
    [model] = made["models"]
    assert (model["step"], model["model"], model["usage"], model["answer"]) == ("ask", "m-1", ANSWER["usage"], ANSWER)
    [approval] = made["approvals"]
    assert (approval["step"], approval["outcome"]) == ("approve", "answered")
    assert approval["answer"]["data"] == {"n": 1, "by": "ada"}
    assert "async.data.n" in approval["if"]
    assert (approval["answered_by"], approval["event_id"]) == (None, approval["answer"]["id"])
    [error] = made["errors"]
    assert (error["step"], error["attempt"], error["error"]["message"]) == ("ask", 1, "busy")
    assert [each["step"] for each in made["decisions"]] == ["ask", "approve"]
    assert [(each["actor"], each["action"], each["outcome"]) for each in made["audit"]] == [
        ("ada", "run.watch", "done")
    ]
    # Whoever keeps the JSON can tell whether it was changed.
    kept = json.loads(json.dumps(made))
    assert run_report.digest(kept) == made["digest"]
    kept["approvals"][0]["answer"]["data"]["by"] = "bob"
    assert run_report.digest(kept) != made["digest"]
    text = "\n".join(as_markdown(made))
    assert "`pay/approved`" in text
    assert "not known" in text
    assert "pay ¦ 'them'" in text
    assert made["digest"] in text


def test_whoever_sends_an_event_again_is_who_has_answered(bench: Bench) -> None:
    @bench.function(retries=0)
    def fn(ctx: Any) -> None:
        for number in range(4):
            ctx.step.wait_for_event(f"approve-{number}", event="pay/approved", timeout=timedelta(days=1))

    @bench.function("sender", trigger=inngest.TriggerEvent(event="pay/clicked"))
    def sender(ctx: Any) -> None:
        ctx.step.send_event("send", inngest.Event(name="pay/approved"))

    run, runtime = bench.run(), runtime_of(bench.app)
    ci, ada = SentBy(kind="event_key", name="ci", id="1"), SentBy(kind="session", name="ada", id="")
    [sent] = outbox(bench.app).send([inngest.Event(name="pay/approved", data={"n": 1})], by=ci)
    bench.inline.drain()
    for by in (None, ada):
        [sent] = resend(runtime, [sent], by)
        bench.inline.drain()
    [clicked] = bench.send("pay/clicked")
    by_run = SentBy(kind="run", name="app-sender", id=clicked.id)
    assert [each["answered_by"] for each in run_report.report(runtime, run.id)["approvals"]] == [ci, None, ada, by_run]


def test_what_is_no_text_is_reported_all_the_same(bench: Bench) -> None:
    @bench.function(retries=0)
    def fn(ctx: Any) -> None:
        pass

    run = bench.run()
    with bench.database.transaction() as connection:
        # As an app in another language may give it.
        connection.execute(sa.update(schema.run).values(output='"half a \\ud83d"'))
    made = run_report.report(runtime_of(bench.app), run.id)
    assert made["run"]["output"] == "half a \ufffd"
    assert run_report.digest(made) == made["digest"]


def test_an_approval_that_never_came(bench: Bench) -> None:
    define(bench)
    run = bench.run(n=1)
    bench.advance(days=2)
    [approval] = run_report.report(runtime_of(bench.app), run.id)["approvals"]
    assert (approval["outcome"], approval["answer"]) == ("timed out", None)


def test_a_run_that_there_is_not(bench: Bench) -> None:
    assert bench.inline
    with pytest.raises(RunNotFoundError):
        run_report.report(runtime_of(bench.app), "01HF7YAT000000000000000001")
