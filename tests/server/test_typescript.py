"""The official TypeScript SDK, unmodified, with the checkpoints that it makes by default and without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import inngest as official
import pytest
from fastapi import FastAPI, Request
from inngest_encryption import EncryptionMiddleware

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker import run_report
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server import test_realtime
from tests.server.stage import Stage, staged
from tests.server.typescript import TypeScriptApp, has_websockets, listening, running
from tests.server.web import served
from tests.services import missing
from tests.waiting import wait_until
from tests.whole import whole

pytestmark = pytest.mark.skipif("node" in missing(), reason="there is no Node.js")


needs_websockets = pytest.mark.skipif(
    "node" not in missing() and not has_websockets(), reason="this Node.js has no WebSockets"
)


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    # Long waits for an app that starts up must not let leases run out.
    bench = Bench(database_url, inngest_lease=120)
    try:
        yield bench
        bench.check()
    finally:
        bench.close()


@pytest.fixture
def stage(bench: Bench) -> Iterator[Stage]:
    with staged(bench) as stage:
        yield stage


@pytest.fixture
def provider() -> Iterator[str]:
    """What the app has fetched for it: a page, and a model."""
    app = FastAPI()

    @app.post("/page")
    async def page(request: Request) -> Any:
        return {"asked": await request.json(), "x": request.query_params["x"]}

    @app.post("/chat/completions")
    async def model(request: Request) -> Any:
        asked = await request.json()
        assert request.headers["authorization"] == "Bearer secret"
        return {"choices": [{"message": {"role": "assistant", "content": f"{asked['model']} says hello"}}]}

    with served(app) as url:
        yield url


@pytest.fixture(params=["yes", "no"], ids=["checkpoints", "plain"])
def app(request: pytest.FixtureRequest, stage: Stage, provider: str, tmp_path: Path) -> Iterator[TypeScriptApp]:
    with running(stage.url, tmp_path / "node.log", PROVIDER=provider, CHECKPOINTING=request.param) as app:
        yield app


@pytest.mark.databases("sqlite", "postgres")
def test_every_kind_of_step(stage: Stage, app: TypeScriptApp) -> None:
    takes_every_kind_of_step(stage, app)
    puts_off(stage, app)


@needs_websockets
@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
@pytest.mark.parametrize("checkpointing", ["yes", "no"])
def test_over_a_connection(
    database_url: str, redis_url: str, provider: str, tmp_path: Path, checkpointing: str
) -> None:
    bench = Bench(database_url, inngest_lease=120, inngest_redis_url=redis_url)
    with (
        staged(bench) as stage,
        running(stage.url, tmp_path / "log", PROVIDER=provider, CHECKPOINTING=checkpointing, CONNECT="yes") as app,
    ):
        takes_every_kind_of_step(stage, app)
        assert "no" in stage.error("ts/fails")["message"]
        assert app.calls["told: no"] == 1
    bench.check()
    bench.close()


def takes_every_kind_of_step(stage: Stage, app: TypeScriptApp) -> None:
    run = stage.start("ts/steps", id="z")
    # Past the nap, and far from the end of the wait that comes after it.
    stage.bench.advance(days=3, hours=1)
    stage.send("ts/go", id="other")
    stage.send("ts/go", id="z")
    stage.drain()
    assert stage.bench.output(run) == {
        "first": "first",
        "second": {"word": "second"},
        "both": ["left", "right"],
        "sent": 1,
        "called": {"child": "steps"},
        "seen": {"id": "z"},
        "silent": None,
        "last": "last",
        "id": "z",
    }
    assert app.calls == {"first": 1, "second": 1, "left": 1, "right": 1, "last": 1}
    steps = stage.bench.steps(run)
    assert [step.seq for step in steps] == list(range(1, len(steps) + 1))
    assert len(stage.bench.events("ts/emitted")) == 1


def puts_off(stage: Stage, app: TypeScriptApp) -> None:
    """What it puts off is done when its run has ended, well or not, and what it takes back is not."""
    run = stage.start("ts/defers")
    assert "afterwards-1" not in app.calls
    assert stage.bench.output(run) == "done"
    assert stage.error("ts/defers", fails=True)["message"] == "no"
    stage.drain()
    assert [app.calls.get(f"afterwards-{number}") for number in (1, 2)] == [2, None]
    later = [run for run in stage.bench.inline.runs.list() if run.function_id == "ts-afterwards"]
    assert [run.output for run in later] == [{"data": {"n": 1}, "parents": ["ts-defers"]}] * 2


@pytest.mark.databases("sqlite")
def test_all_the_rest(stage: Stage, app: TypeScriptApp) -> None:
    """One app and one server for all of it: to start them takes longer than what is tested."""
    assert stage.output("ts/many") == [f"step-{number}" for number in range(5)]
    assert stage.output("ts/fetch") == {"status": 200, "body": {"asked": {"q": 1}, "x": "1"}}
    run = stage.start("ts/infer")
    assert stage.bench.output(run) == ["gpt-test says hello", "wrapped"]
    asked = run_report.report(runtime_of(stage.bench.app), run.id)["models"]
    assert [(each["step"], each["asked_model"], each["prompt"]) for each in asked] == [
        ("ask", "gpt-test", {"messages": [{"role": "user", "content": "hello"}]}),
        ("wrap", None, "wrapped"),
    ]
    race = stage.start("ts/race")
    assert "after" in [step.name for step in stage.bench.steps(race)], "it goes on with the first"
    assert stage.bench.output(race) == ["fast", "after"]
    assert stage.output("ts/caught") == {"caught": "no", "isStepError": True}
    assert stage.error("ts/final")["message"] == "never again"
    began = stage.bench.now
    assert stage.output("ts/later") == "at last"
    assert stage.bench.now >= began + 7000
    assert stage.error("ts/fails")["message"] == "no"
    waits = stage.start("ts/waits")
    stage.start("ts/signals")
    assert stage.bench.get(waits).output == {"signal": "go", "data": {"x": 1}}
    stopped = stage.start("ts/cancelled", id=1)
    stage.send("ts/stop", id=1)
    stage.drain()
    assert stage.bench.get(stopped).status is RunStatus.CANCELLED
    overdue = stage.start("ts/overdue")
    older, newer, other = (stage.start("ts/newest", id=id) for id in (1, 1, 2))
    for number in range(2):
        stage.send("ts/batched", n=number)
        stage.send("ts/alone")
        stage.send("ts/once", order=7)
        stage.send("ts/calm", n=number)
        stage.drain()
    stage.bench.advance(hours=1)
    ended = [stage.bench.get(run).status.name for run in (overdue, older, newer, other)]
    assert ended == ["CANCELLED", "CANCELLED", "COMPLETED", "COMPLETED"]
    outputs = {run.function_id: run.output for run in stage.bench.inline.runs.list(limit=1000)}
    assert (outputs["ts-batched"], outputs["ts-calm"]) == ([0, 1], 1)
    skipped = stage.bench.inline.runs.list(status=RunStatus.SKIPPED)
    assert [run.function_id for run in skipped] == ["ts-alone"]
    calls = app.calls
    assert [calls[name] for name in ("fast", "other", "after", "once", "final", "told: no")] == [1] * 6
    assert [calls[name] for name in ("bad", "later", "fails")] == [2] * 3


@needs_websockets
@pytest.mark.databases("sqlite")
def test_what_it_publishes_it_hears(stage: Stage, tmp_path: Path) -> None:
    # Its subscriber ends with an error of its own on any stream (4.24), so another client listens to that.
    letters = test_realtime.token(stage, "shop:1", "letters")
    with running(stage.url, tmp_path / "node.log"), test_realtime.listening(stage, letters) as socket:
        with listening(stage.url, tmp_path / "news.log", "shop:1", "news") as news:
            run = stage.start("ts/publishes", channel="shop:1")
            wait_until(lambda: len(news()) == 2, message=lambda: str(news()))
        with listening(stage.url, tmp_path / "run.log", run.id, "$run") as lifecycle:
            wait_until(lifecycle, message="how the run stands")
        streamed = test_realtime.until_end(socket)
    assert [(each["kind"], each["data"]) for each in news()] == [("data", {"n": "publishes"}), ("data", "a text")]
    assert {(each["channel"], each["topic"], each["runId"]) for each in news()} == {("shop:1", "news", run.id)}
    assert "".join(each["data"] for each in streamed[1:-1]) == "streamed text"
    [told] = lifecycle()
    assert (told["kind"], told["topic"], told["data"]["status"]) == ("run", "$run", "Completed")


@pytest.mark.databases("sqlite")
def test_functions_in_two_languages_call_each_other(bench: Bench, tmp_path: Path) -> None:
    """One in this process calls one on the official Python SDK, that a TypeScript one, and that one Python again."""

    @bench.function("caller", trigger=inngest.TriggerEvent(event="py/go"))
    async def caller(ctx: inngest.Context) -> Any:
        return await ctx.step.invoke_by_id("call", app_id="sample", function_id="there", data={"n": 1})

    with staged(bench) as stage, running(stage.url, tmp_path / "node.log"):
        client = stage.client()

        @client.create_function(fn_id="there", trigger=official.TriggerEvent(event="py/there"))
        async def there(ctx: official.Context) -> Any:
            return await ctx.step.invoke_by_id("call", app_id="ts", function_id="back", data={"n": ctx.event.data["n"]})

        @client.create_function(fn_id="doubled", trigger=official.TriggerEvent(event="py/doubled"))
        def doubled(ctx: official.ContextSync) -> Any:
            return ctx.step.run("double", lambda: {"n": 2 * ctx.event.data["n"]})

        with stage.app(client, [there, doubled]):
            assert stage.output("py/go") == {"back": {"n": 4}}


@pytest.mark.databases("sqlite")
def test_what_is_encrypted_is_read_in_two_languages_and_not_here(stage: Stage, tmp_path: Path) -> None:
    client = stage.client(middleware=[EncryptionMiddleware.factory("a secret key")])
    seen: list[Any] = []

    @client.create_function(fn_id="begin", trigger=official.TriggerEvent(event="py/secret"))
    def begin(ctx: official.ContextSync) -> None:
        word = ctx.event.data["encrypted"]["word"]  # type: ignore[index, call-overload]
        answer = ctx.step.invoke_by_id("call", app_id="ts", function_id="secret", data={"encrypted": {"word": word}})
        seen.append(answer)

    @client.create_function(fn_id="reverse", trigger=official.TriggerEvent(event="ts/told"))
    def reverse(ctx: official.ContextSync) -> Any:
        word = str(ctx.event.data["encrypted"]["word"])  # type: ignore[index, call-overload]
        return ctx.step.run("reverse", lambda: {"word": word[::-1]})

    with running(stage.url, tmp_path / "node.log", KEY="a secret key"), stage.app(client, [begin, reverse]):
        client.send_sync(official.Event(name="py/secret", data={"encrypted": {"word": "sesame"}}))
        stage.drain()
    assert seen == [{"loud": "SESAME", "reversed": {"word": "EMASES"}}]
    runs = stage.bench.inline.runs.list()
    assert sorted((run.function_id, run.status.name) for run in runs) == [
        ("sample-begin", "COMPLETED"),
        ("sample-reverse", "COMPLETED"),
        ("sample-reverse", "COMPLETED"),
        ("ts-secret", "COMPLETED"),
    ]
    stored = "".join(whole(stage.bench.rows(table)) for table in (schema.event, schema.step, schema.run))
    assert stored.count("__ENCRYPTED__") >= 6
    assert not [word for word in ("sesame", "SESAME", "EMASES") if word in stored]


@pytest.mark.databases("sqlite")
def test_a_checkpoint_counts_under_its_call_only(stage: Stage, tmp_path: Path) -> None:
    with running(stage.url, tmp_path / "node.log"):
        run = stage.start("ts/many")
    assert stage.bench.get(run).status is RunStatus.COMPLETED
    step = {"op": "StepRun", "id": "late", "displayName": "late", "data": 1}
    body = {"qi_id": f"{run.id}.start", "generation_id": 1, "steps": [step]}
    late = stage.http.post(f"/v1/checkpoint/{run.id}/async", json=body)
    assert (late.status_code, late.json()["code"]) == (409, "stale_dispatch")
    stage.drain()


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"qi_id": "other.start", "steps": [{"op": "StepRun", "id": "a"}]}, 400),
        ({"qi_id": "RUN.start", "steps": [{"op": "Sleep", "id": "a", "opts": {"duration": "1s"}}]}, 400),
        ({"qi_id": "RUN.start", "steps": [{"op": "StepRun", "id": "a", "data": "x" * 5_000_000}]}, 413),
        ({"qi_id": "RUN.start", "steps": [{"op": "StepRun", "id": "a", "data": "x" * 9_000_000}]}, 413),
    ],
)
def test_a_checkpoint_that_is_none_is_refused(stage: Stage, body: dict[str, Any], status: int) -> None:
    run = "01HF7YAT000000000000000001"
    text = json.dumps(body).replace("RUN", run)
    assert stage.http.post(f"/v1/checkpoint/{run}/async", content=text).status_code == status


@pytest.mark.databases("sqlite", "postgres")
def test_durable_endpoints(stage: Stage, tmp_path: Path) -> None:
    with running(stage.url, tmp_path / "node.log") as app:
        orders = f"{app.url.removesuffix('/api/inngest')}/orders"
        answer = httpx.get(f"{orders}?kind=plain", timeout=30)
        assert answer.json() == {"kind": "plain", "seen": ["order", "order-last"]}
        wanted = {
            "sleeps": ["order", "order-last"],
            "parallel": ["order", "order-l", "order-r", "order-last"],
            "fails": ["order", "at last", "order-last"],
        }
        for kind, seen in wanted.items():
            redirect = httpx.get(f"{orders}?kind={kind}", timeout=30)
            assert redirect.status_code == 302, (redirect.text, app.log.read_text())
            stage.bench.advance(hours=2)
            output = httpx.get(redirect.headers["location"], timeout=30)
            assert (output.status_code, output.json()) == (200, {"kind": kind, "seen": seen}), app.log.read_text()
        # What was done before the engine took over is not done again.
        assert app.calls == {"order": 4, "order-last": 4, "order-l": 1, "order-r": 1, "flaky": 2}
