"""REST v1 over real HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery import ids
from inngest_celery.engine.mass_cancelling import SLICE
from inngest_celery.server.times import instant
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker import tasks
from tests.functions.bench import Bench
from tests.server.scripted import Scripted, done, op, steps
from tests.server.stage import Stage

UNKNOWN = "01HF7YAT000000000000000001"


@pytest.fixture(autouse=True)
def fn(bench: Bench) -> None:
    @bench.function(trigger=inngest.TriggerEvent(event="shop/a"))
    def fn(ctx: inngest.ContextSync) -> Any:
        ctx.step.sleep("nap", 60_000)
        return {"n": ctx.event.data["n"]}


def get(stage: Stage, path: str, **params: Any) -> Any:
    answer = stage.http.get(f"/v1{path}", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["metadata"]["fetched_at"].endswith("Z")
    return answer.json()["data"]


def test_an_event_and_its_runs(stage: Stage) -> None:
    event_id = stage.send("shop/a", n=1)
    event = get(stage, f"/events/{event_id}")
    assert (event["internal_id"], event["id"], event["name"], event["data"]) == (event_id, event_id, "shop/a", {"n": 1})
    assert get(stage, f"/events/{event_id}/runs") == []
    stage.drain()
    [run] = get(stage, f"/events/{event_id}/runs")
    assert (run["status"], run["output"], run["ended_at"], run["event_id"]) == ("Running", None, None, event_id)
    assert run["function_id"] == ids.function_uuid("app-fn")
    stage.bench.advance(minutes=2)
    ended = get(stage, f"/runs/{run['run_id']}")
    assert (ended["status"], ended["output"], ended["function_version"]) == ("Completed", {"n": 1}, 1)
    assert ended["ended_at"] > ended["run_started_at"]


def test_events_come_page_by_page(stage: Stage) -> None:
    sent = [stage.send(f"shop/{name}", n=1) for name in ("b", "c", "b", "d", "b")]
    stage.drain()
    first = get(stage, "/events", limit=2)
    second = get(stage, "/events", limit=2, cursor=first[-1]["internal_id"])
    assert [event["internal_id"] for event in [*first, *second]] == sent[:0:-1]
    assert [event["internal_id"] for event in get(stage, "/events", name="shop/b")] == [sent[4], sent[2], sent[0]]
    assert get(stage, "/events", received_after="2100-01-01T00:00:00Z") == []
    assert len(get(stage, "/events", received_before="2100-01-01T00:00:00Z")) == 5


def test_a_run_is_cancelled(stage: Stage) -> None:
    run = stage.start("shop/a", n=1)
    [job] = get(stage, f"/runs/{run.id}/jobs")
    assert (job["kind"], job["name"]) == ("sleep", "nap")
    for _ in range(2):
        answer = stage.http.delete(f"/v1/runs/{run.id}")
        assert (answer.status_code, answer.content) == (200, b"")
    stage.drain()
    assert stage.bench.get(run).status is RunStatus.CANCELLED
    assert get(stage, f"/runs/{run.id}/jobs") == []


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/runs/nonsense", 400),
        ("GET", f"/runs/{UNKNOWN}", 404),
        ("DELETE", f"/runs/{UNKNOWN}", 404),
        ("GET", "/events/nonsense", 400),
        ("GET", f"/events/{UNKNOWN}", 404),
        ("GET", "/events?received_after=soon", 400),
        ("GET", "/events?limit=0", 400),
        ("GET", "/events?cursor=x", 400),
        ("GET", "/nothing", 404),
        ("PATCH", "/events", 405),
    ],
)
def test_what_is_not_there_has_a_real_status(stage: Stage, method: str, path: str, status: int) -> None:
    answer = stage.http.request(method, f"/v1{path}")
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.json()["error"]


def test_a_signal_resumes_the_run_that_waits_for_it(stage: Stage) -> None:
    wait = op("WaitForSignal", "a", opts={"signal": "go", "timeout": "1d"})
    app = Scripted(lambda call: done(call["steps"]["a"]) if call["steps"] else steps(wait))
    with app.registered(stage, triggers=[{"event": "shop/waits"}]):
        assert stage.http.post("/v1/signals", json={"signal": "go", "data": 1}).status_code == 404
        run = stage.start("shop/waits")
        answer = stage.http.post("/v1/signals", json={"signal": "go", "data": {"x": 1}})
        assert answer.json()["data"] == {"run_id": run.id}
        stage.drain()
        assert stage.bench.get(run).output == {"data": {"signal": "go", "data": {"x": 1}}}
        assert stage.http.post("/v1/signals", json={"signal": "go"}).status_code == 404
        # A user's event of that name is none.
        assert stage.http.post("/e/x", json={"name": "inngest/signal:go"}).status_code == 400


@pytest.mark.databases("sqlite")
def test_functions_of_an_app(stage: Stage) -> None:
    [function] = stage.http.get("/v1/apps/app/functions").json()
    assert (function["slug"], function["config"]["triggers"]) == ("app-fn", [{"event": "shop/a"}])
    assert stage.http.get("/v1/apps/other/functions").json() == []


@pytest.mark.databases("sqlite")
def test_a_list_of_runs_costs_the_same_for_many(stage: Stage) -> None:
    counted: list[str] = []
    engine = stage.bench.database.engine
    event_id = stage.send("shop/a", n=1)
    stage.drain()
    [run] = [row._mapping for row in stage.bench.rows(schema.run)]
    copies = [{**run, "id": ids.new(stage.bench.now), "idempotency_key": None} for _ in range(20)]
    sa.event.listen(engine, "before_cursor_execute", lambda *args: counted.append(args[2]))
    assert len(get(stage, f"/events/{event_id}/runs")) == 1
    alone = len(counted)
    with stage.bench.database.transaction() as connection:
        connection.execute(sa.insert(schema.run), copies)
    counted.clear()
    assert len(get(stage, f"/events/{event_id}/runs")) == 21
    assert len(counted) == alone <= 3
    with stage.bench.database.transaction() as connection:
        connection.execute(sa.delete(schema.run).where(schema.run.c.id.in_([copy["id"] for copy in copies])))


@pytest.mark.databases("sqlite")
def test_the_document_describes_it(stage: Stage) -> None:
    paths = json.loads(stage.http.get("/openapi.json").text)["paths"]
    assert {"200", "400", "401", "404"} <= paths["/v1/runs/{run_id}"]["get"]["responses"].keys()


def cancel_many(stage: Stage, **fields: Any) -> Any:
    now = instant(stage.bench.now)
    body = {"app_id": "app", "function_id": "app-fn", "started_before": now, **fields}
    return stage.http.post("/v1/cancellations", json=body)


def test_many_runs_are_cancelled(stage: Stage) -> None:
    runs = [stage.start("shop/a", n=number) for number in range(SLICE + 20)]
    stage.bench.inline.clock.advance(10)
    asked = cancel_many(stage, **{"if": "event.data.n != 7"})
    assert asked.status_code == 201, asked.text
    late = stage.start("shop/a", n=1)
    [told] = get(stage, "/cancellations")
    assert (told["id"], told["if"]) == (asked.json()["data"]["id"], "event.data.n != 7")
    assert told["cancelled"] == len(runs) - 1
    assert told["ended_at"] is not None
    going_on = [run.id for run in stage.bench.inline.runs.list(status=RunStatus.RUNNING, limit=100)]
    assert going_on == [late.id, runs[7].id]
    assert stage.http.delete(f"/v1/cancellations/{told['id']}").json() == {"ok": True}
    assert get(stage, "/cancellations") == []
    stage.bench.advance(minutes=2)


def test_a_worker_that_dies_while_it_cancels_is_followed_by_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(KeyboardInterrupt):
        pass

    def die(place: str) -> None:
        if place == "cancelled_slice":
            raise Died

    runs = [stage.start("shop/a", n=number) for number in range(2 * SLICE)]
    stage.bench.inline.clock.advance(10)
    cancel_many(stage)
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "crash_point", die)
        with pytest.raises(Died):
            stage.drain()
    assert 0 < len(stage.bench.inline.runs.list(status=RunStatus.CANCELLED, limit=1000)) < len(runs)
    stage.bench.advance(minutes=1)
    [told] = get(stage, "/cancellations")
    assert told["cancelled"] == len(stage.bench.inline.runs.list(status=RunStatus.CANCELLED, limit=1000)) == len(runs)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"started_before": "2100-01-01T00:00:00Z"}, 400),
        ({"started_before": "soon"}, 400),
        ({"started_after": "2100-01-01T00:00:00Z"}, 400),
        ({"if": "event.data.n =="}, 400),
        ({"function_id": "other"}, 404),
        ({"app_id": "other"}, 404),
        ({"app_id": 7}, 400),
    ],
)
def test_a_cancellation_that_is_none_is_refused(stage: Stage, fields: dict[str, Any], status: int) -> None:
    assert cancel_many(stage, **fields).status_code == status
    assert stage.bench.rows(schema.cancellation) == []
