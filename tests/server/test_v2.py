"""REST v2 over real HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery import ids
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.registry import functions_of, synchronise
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.scripted import Scripted, done
from tests.server.stage import Stage

UNKNOWN = "01HF7YAT000000000000000001"


@pytest.fixture(autouse=True)
def fn(bench: Bench) -> None:
    @bench.function(trigger=inngest.TriggerEvent(event="shop/a"))
    def fn(ctx: inngest.ContextSync) -> Any:
        one = ctx.step.run("one", lambda: ctx.event.data["n"])
        ctx.step.sleep("nap", timedelta(minutes=1))
        return {"n": one}


def get(stage: Stage, path: str, **params: Any) -> Any:
    answer = stage.http.get(f"/v2{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_runs_page_by_page(stage: Stage) -> None:
    started = [stage.start("shop/a", n=number).id for number in range(5)]
    first = get(stage, "/runs", limit=2)
    second = get(stage, "/runs", limit=3, cursor=first["page"]["cursor"])
    assert (first["page"]["hasMore"], second["page"]["hasMore"]) == (True, False)
    assert [run["id"] for run in [*first["data"], *second["data"]]] == started[::-1]
    assert [run["id"] for run in get(stage, "/runs", order="ASC", limit=2)["data"]] == started[:2]
    run = first["data"][0]
    assert (run["status"], run["function"]["slug"], run["output"]) == ("RUNNING", "app-fn", None)
    assert get(stage, "/runs", status="COMPLETED")["data"] == []
    assert len(get(stage, "/runs", functionId="app-fn", appId="app")["data"]) == 5
    assert get(stage, "/runs", appId="other")["data"] == []
    assert get(stage, "/runs", until="2020-01-01T00:00:00Z")["data"] == []
    stage.bench.advance(minutes=2)
    ended = get(stage, "/runs", timeField="endedAt", includeOutput=True)["data"]
    assert sorted(run["output"]["n"] for run in ended) == [0, 1, 2, 3, 4]


def test_a_run_and_its_trace(stage: Stage) -> None:
    run = stage.start("shop/a", n=3)
    told = get(stage, f"/runs/{run.id}")["data"]
    assert (told["eventIds"], told["isBatch"], told["endedAt"]) == ([run.event_id], False, None)
    trace = get(stage, f"/runs/{run.id}/trace")["data"]
    assert [(span["name"], span["status"]) for span in trace["children"]] == [("one", "COMPLETED"), ("nap", "WAITING")]
    stage.bench.finish(run)
    assert get(stage, f"/runs/{run.id}")["data"]["output"] == {"n": 3}


def test_a_run_is_cancelled_once(stage: Stage) -> None:
    run = stage.start("shop/a", n=3)
    assert stage.http.post(f"/v2/runs/{run.id}/cancel").json()["data"]["status"] == "CANCELLED"
    again = stage.http.post(f"/v2/runs/{run.id}/cancel")
    assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "run_already_cancelled")
    other = stage.start("shop/a", n=3)
    stage.bench.finish(other)
    late = stage.http.post(f"/v2/runs/{other.id}/cancel")
    assert (late.status_code, late.json()["errors"][0]["code"]) == (409, "run_already_ended")


def test_a_run_is_repeated(stage: Stage) -> None:
    run = stage.start("shop/a", n=3)
    stage.bench.finish(run)
    again = stage.http.post(f"/v2/runs/{run.id}/rerun")
    assert again.status_code == 201
    new_id = again.json()["data"]["runId"]
    stage.drain()
    assert get(stage, f"/runs/{new_id}")["data"]["originalRunId"] == run.id
    from_step = stage.http.post(f"/v2/runs/{run.id}/rerun", json={"fromStep": {"stepId": "nap"}}).json()["data"][
        "runId"
    ]
    steps = [row.name for row in stage.bench.rows(schema.step, run_id=from_step)]
    assert steps == ["one"], "what comes before the step is there"
    stage.bench.advance(minutes=2)
    assert stage.bench.inline.runs.get(from_step).output == {"n": 3}
    unknown = stage.http.post(f"/v2/runs/{run.id}/rerun", json={"fromStep": {"stepId": "other"}})
    assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (400, "invalid_request")


def test_a_repeated_run_that_is_skipped_is_found(stage: Stage) -> None:
    event = {"name": "shop/a", "id": "once", "data": {"n": 1}}
    assert stage.http.post("/e/x", json=event).status_code == 200
    stage.bench.advance(minutes=2)
    [run] = stage.bench.inline.runs.list()
    stage.bench.client.control.pause("app-fn")
    new_id = stage.http.post(f"/v2/runs/{run.id}/rerun").json()["data"]["runId"]
    stage.drain()
    told = get(stage, f"/runs/{new_id}")["data"]
    assert (told["status"], told["originalRunId"]) == ("SKIPPED", run.id)
    stage.bench.client.control.resume("app-fn")


def test_apps_and_functions(stage: Stage) -> None:
    with Scripted(done("called")).registered(stage):
        [python, app] = get(stage, "/apps")["data"]
        assert (python["name"], python["sdk"], python["functionCount"]) == ("app", "py:native", 1)
        assert [function["slug"] for function in get(stage, "/apps/app/functions")["data"]] == ["app-fn"]
        assert (app["name"], app["functionCount"], app["sdk"]) == ("shop", 1, "js:v4.18.1")
        assert get(stage, f"/apps/{app['id']}")["data"] == get(stage, "/apps/shop")["data"] == app
        [function] = get(stage, "/apps/shop/functions")["data"]
        assert function["triggers"] == [{"event": "shop/a", "expression": None, "cron": None}]
        for name in ("fn", "shop-fn", ids.function_uuid("shop-fn")):
            assert get(stage, f"/apps/shop/functions/{name}")["data"] == function
        call = stage.http.post("/v2/apps/shop/functions/fn/invoke", json={"data": {"x": 1}})
        assert call.status_code == 201
        run_id = call.json()["data"]["runId"]
        stage.drain()
        assert stage.bench.inline.runs.get(run_id).output == "called"
        assert [run["id"] for run in get(stage, "/apps/shop/functions/fn/runs")["data"]] == [run_id]


def test_a_call_with_a_key_is_made_once(stage: Stage) -> None:
    def call(**body: Any) -> Any:
        answer = stage.http.post("/v2/apps/app/functions/fn/invoke", json=body)
        stage.drain()
        return answer

    first = call(data={"n": 1}, idempotencyKey="order-7")
    same = call(data={"n": 1}, idempotencyKey="order-7")
    assert first.json()["data"] == same.json()["data"]
    assert len(stage.bench.rows(schema.run)) == 1
    other = call(data={"n": 2}, idempotencyKey="order-7")
    assert (other.status_code, other.json()["errors"][0]["code"]) == (409, "idempotency_conflict")
    call(data={"n": 2}, idempotencyKey="order-8")
    assert len(stage.bench.rows(schema.run)) == 2
    stage.bench.advance(minutes=2)


def test_a_call_that_starts_no_run_is_refused(stage: Stage) -> None:
    def call(fn: str, **body: Any) -> tuple[int, str]:
        answer = stage.http.post(f"/v2/apps/app/functions/{fn}/invoke", json=body)
        errors = answer.json().get("errors")
        return answer.status_code, errors[0]["code"] if errors else ""

    options: dict[str, dict[str, Any]] = {
        "calm": {"debounce": inngest.Debounce(period=timedelta(seconds=10))},
        "alone": {"singleton": inngest.Singleton(mode="skip")},
        "once": {"idempotency": "event.data.order"},
    }
    for fn_id, option in options.items():

        @stage.bench.function(fn_id, **option)
        def fn(ctx: inngest.ContextSync) -> None:
            ctx.step.sleep("nap", timedelta(minutes=1))

    synchronise(runtime_of(stage.bench.app), functions_of(stage.bench.app).values())
    assert call("calm", data={}) == (422, "function_debounced")
    assert call("alone", data={}) == (201, "")
    assert call("alone", data={}) == (422, "function_skipped")
    assert call("once", data={"order": 1}) == (201, "")
    assert call("once", data={"order": 1}) == (422, "function_skipped")
    assert call("once", data={"order": 2}) == (201, "")
    stage.bench.advance(minutes=2)
    # The debounced call is made in the end.
    found = stage.bench.rows(schema.run, status=RunStatus.COMPLETED.value)
    assert sorted(run.function_id for run in found) == ["app-alone", "app-calm", "app-once", "app-once"]


def test_events(stage: Stage) -> None:
    sent = stage.http.post("/v2/events", json={"name": "shop/a", "data": {"n": 1}})
    assert sent.status_code == 201
    event_id = sent.json()["data"]["eventId"]
    stage.bench.advance(minutes=2)
    [run] = get(stage, f"/events/{event_id}/runs")["data"]
    assert (run["status"], run["output"]) == (RunStatus.COMPLETED.name, {"n": 1})
    refused = stage.http.post("/v2/events", json={"name": "inngest/x"})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "event_name_invalid")


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/runs/nonsense", 400, "invalid_id"),
        ("GET", f"/runs/{UNKNOWN}", 404, "not_found"),
        ("GET", f"/runs/{UNKNOWN}/trace", 404, "not_found"),
        ("POST", f"/runs/{UNKNOWN}/cancel", 404, "not_found"),
        ("POST", f"/runs/{UNKNOWN}/rerun", 404, "not_found"),
        ("GET", "/runs?limit=1000", 400, "invalid_request"),
        ("GET", "/runs?cursor=x", 400, "invalid_cursor"),
        ("GET", "/runs?status=LOST", 400, "invalid_request"),
        ("GET", "/runs?from=soon", 400, "invalid_field_format"),
        ("GET", "/apps/other", 404, "not_found"),
        ("GET", "/apps/app/functions/other", 404, "not_found"),
        ("GET", f"/events/{UNKNOWN}/runs", 404, "not_found"),
        ("GET", "/env/webhooks", 501, "not_implemented"),
        ("POST", "/envs", 501, "not_implemented"),
    ],
)
def test_refusals_have_one_form(stage: Stage, method: str, path: str, status: int, code: str) -> None:
    for prefix in ("/v2", "/api/v2"):
        answer = stage.http.request(method, prefix + path)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code), answer.text


@pytest.mark.databases("sqlite")
def test_the_server_tells_of_itself(stage: Stage) -> None:
    assert get(stage, "/health")["data"]["status"] == "ok"
    assert get(stage, "/account")["data"]["id"] == ids.ACCOUNT
    assert get(stage, "/envs")["data"][0]["type"] == "DEV"
    assert get(stage, "/keys/events")["data"] == get(stage, "/keys/signing")["data"] == []


@pytest.mark.databases("sqlite")
def test_many_runs_cost_no_more_statements_than_one(stage: Stage) -> None:
    stage.start("shop/a", n=0)
    counted: list[str] = []
    sa.event.listen(stage.bench.database.engine, "before_cursor_execute", lambda *args: counted.append(args[2]))

    def cost() -> int:
        counted.clear()
        get(stage, "/runs", limit=50, includeOutput=True)
        return len(counted)

    alone = cost()
    for number in range(9):
        stage.start("shop/a", n=number)
    assert cost() == alone <= 3
    stage.bench.advance(minutes=2)
