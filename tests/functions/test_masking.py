"""Rules at work on real runs: what is masked before it is stored is nowhere, what is masked when it is shown is not in
logs, spans or Celery's events.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import Event, Run
from inngest_celery.worker.bulk import count
from inngest_celery.worker.rerunning import rerun
from inngest_celery.worker.resending import resend
from inngest_celery.worker.runtime import runtime_of
from inngest_celery.worker.selecting import Selection
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench
from tests.masking.generated import RULES, Planted, planted

pytestmark = pytest.mark.databases("sqlite")
CARD, EMAIL, CODE, WHY = "4242424242424242", "ada.l@example.org", "planted-code", "planted-reason"
STORE = [
    {"pattern": "card_number", "at": "store", "as": "last4"},
    {"pattern": "email", "at": "store"},
    {"path": "event.data.code", "at": "store", "as": "hash"},
    {"path": "output.token", "at": "store", "function": "app-*"},
    {"path": "error.message", "at": "store", "event": "test/*"},
]
KEYED = {"inngest_masking_key": "0123456789abcdef"}


def dump(bench: Bench) -> str:
    """Give all that is in the database, and all that text may stand for."""
    parts = []
    with bench.database.autocommit() as connection:
        for table in schema.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)):
                parts += [str(value) for value in row if value is not None]
    text = "\n".join(parts)
    return text + text.encode().decode("unicode_escape", errors="ignore")


def define(bench: Bench, seen: list[Any]) -> None:
    @bench.function("callee", trigger=inngest.TriggerEvent(event="test/called"), retries=0)
    def callee(ctx: inngest.ContextSync) -> Any:
        seen.append(ctx.event.data)
        return {"token": "planted-token", "given": ctx.event.data.get("it")}

    @bench.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> Any:
        data = ctx.event.data
        seen.append(data)
        made = ctx.step.run("make", lambda: {"token": "planted-token", "it": EMAIL, "in": [f"é{CARD}"]})
        seen.append(made)
        ctx.step.send_event("tell", inngest.Event(name="test/told", data={"code": CODE, "it": f"to {EMAIL}"}))
        seen.append(ctx.step.invoke("call", function=callee, data={"it": CARD, "code": CODE}))
        try:
            ctx.step.run("break", fail)
        except inngest.StepError as error:
            seen.append(str(error))
        if data.get("wait"):
            seen.append(
                ctx.step.wait_for_event(
                    "wait", event="test/paid", if_exp="async.data.code == event.data.code", timeout=60_000
                )
            )
        if data.get("raise"):
            fail()
        return {"token": "planted-token", "it": data.get("it"), "mail": EMAIL}


def fail() -> None:
    # Source lines stand in tracebacks.
    raise ValueError(f"{WHY} {EMAIL}")


def gone(text: str) -> list[str]:
    return [each for each in (CARD, EMAIL, CODE, "planted-token", "planted-reason") if each in text]


def test_what_is_masked_before_it_is_stored_is_nowhere_and_functions_do_not_see_it(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bench, seen = make_bench(inngest_masking=STORE, **KEYED), list[Any]()
    define(bench, seen)
    run = bench.run(code=CODE, it=EMAIL, n=int(CARD), wait=True)
    bench.send("test/paid", code="other")
    assert not bench.get(run).ended
    bench.send("test/paid", code=CODE)
    assert bench.finish(run).status.name == "COMPLETED", "equal values have equal hashes, so that waits find them"
    failed = bench.run(code=CODE, **{"raise": True, EMAIL: 1})
    assert bench.finish(failed).output["message"] == "[masked]"  # type: ignore[index]
    bench.inline.send(inngest.Event(name="test/go", id=f"id of {EMAIL}", data={}))
    again = rerun(runtime_of(bench.app), run.id)
    resend(runtime_of(bench.app), [run.event_id])
    bench.inline.drain()
    bench.finish(bench.inline.runs.get(again))
    assert gone(dump(bench)) == []
    assert gone(json.dumps(seen, default=lambda event: event.to_dict())) == []
    assert gone(caplog.text) == []
    assert any("[…4242]" in str(each) for each in seen)
    assert bench.get(run).output == {"token": "[masked]", "it": "[masked]", "mail": "[masked]"}


def test_ids_that_differ_differ_still(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_masking=[{"pattern": "email", "at": "store"}])
    define(bench, [])
    for name in ("a@b.cd", "b@b.cd", "a@b.cd"):
        bench.inline.send(inngest.Event(name="test/go", id=f"order of {name}", data={}))
    assert len(bench.inline.runs.list(function_id="app-fn")) == 2
    assert "@b.cd" not in dump(bench)


def test_what_is_masked_when_it_is_shown_is_in_no_log_and_no_event_of_celery(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    rules = [{key: value for key, value in rule.items() if key != "at"} for rule in STORE]
    bench, seen, told = make_bench(inngest_masking=rules, **KEYED), list[Any](), list[Any]()
    define(bench, seen)

    class Heard:
        wanted = True

        def send(self, app: object, events: Any) -> None:
            told.extend(events)

    assert bench.inline is not None
    runtime = runtime_of(bench.app)
    monkeypatch.setattr(runtime, "step_events", Heard())
    run = bench.run(code=CODE, it=EMAIL, n=int(CARD), wait=True)
    bench.send("test/paid", code=CODE)
    assert bench.finish(run).output == {"token": "planted-token", "it": EMAIL, "mail": EMAIL}
    bench.finish(bench.run(code=CODE, **{"raise": True}))
    assert len(gone(json.dumps(seen, default=lambda event: event.to_dict()))) == 5, "functions get what is stored"
    assert gone(caplog.text) == []
    assert gone(str(told)) == []
    assert any(kind == "task-failed" for kind, _ in told)
    assert any("[masked]" in str(fields) for _, fields in told)


def test_a_cause_is_hidden_with_its_error(make_bench: MakeBench, caplog: pytest.LogCaptureFixture) -> None:
    bench = make_bench(inngest_masking=[{"pattern": "email"}])

    @bench.function(retries=0)
    def fn(ctx: inngest.ContextSync) -> Any:
        def body() -> None:
            try:
                raise KeyError(EMAIL)
            except KeyError as error:
                raise ValueError("nothing of it") from error

        ctx.step.run("break", body)

    bench.finish(bench.run())
    assert EMAIL not in caplog.text


def test_without_rules_rows_are_given_as_they_are(make_bench: MakeBench) -> None:
    bench = make_bench()
    assert bench.inline is not None
    runtime = runtime_of(bench.app)
    row, run = Event("1", "a", "1", '{"a": "4242424242424242"}', 0, 0), Run("1", "f", "1", None, 300, 0, output='"x"')
    assert runtime.eyes.event(row) is row
    assert runtime.eyes.run(run) is run
    text = row.data
    runtime.door.event(row)
    assert row.data is text


def test_whoever_selects_without_eyes_may_only_look(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_masking=[{"path": "data.code"}])
    define(bench, [])
    bench.run(code=CODE)
    runtime = runtime_of(bench.app)
    found = {
        value: [*count(runtime, Selection(where=f'event.data.code == "{value}"'))][-1].chosen
        for value in (CODE, "[masked]")
    }
    assert found[CODE] == 0
    assert found["[masked]"] > 0


@pytest.mark.parametrize("at", ["store", "show"])
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(payloads=st.lists(planted(), min_size=4, max_size=4))
def test_generated_payloads(
    make_bench: MakeBench, caplog: pytest.LogCaptureFixture, at: str, payloads: list[Planted]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    bench = batch_of(make_bench, at)
    for payload in payloads:
        run = bench.run(**payload.data)
        output = bench.output(run)
        assert bool(payload.found_in(json.dumps(output, ensure_ascii=False))) == (at == "show")
        assert not payload.found_in(caplog.text)
        assert at == "show" or not payload.found_in(dump(bench))
        eyes = runtime_of(bench.app).eyes
        shown = [str(eyes.event(bench_event)) for bench_event in events_of(bench)]
        shown += [str(eyes.step(step, run.function_id)) for step in bench.steps(run)]
        assert not payload.found_in("\n".join(shown))


_benches: dict[tuple[int, str], Bench] = {}


def batch_of(make_bench: MakeBench, at: str) -> Bench:
    """Give one bench for all examples of a test."""
    known = (id(make_bench), at)
    if known not in _benches:
        rules = [{**rule, "at": at} for rule in RULES]
        bench = _benches[known] = make_bench(inngest_masking=rules)

        @bench.function(retries=0)
        def fn(ctx: inngest.ContextSync) -> Any:
            return ctx.step.run("pass on", lambda: {"back": ctx.event.data["s0"]})

    return _benches[known]


def events_of(bench: Bench) -> list[Any]:
    return [Event(**row._mapping) for row in bench.rows(schema.event)]
