"""Durable endpoints: an app that executes a run itself and reports it, played by the test, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from inngest_celery import ids
from inngest_celery.store.rows import RunStatus
from tests.server.scripted import Scripted, done, op, steps
from tests.server.stage import Stage
from tests.server.web import served

COMPLETE = ids.hash_step_id("complete")
ANSWER = {"status": 201, "headers": {"content-type": "text/plain", "set-cookie": "a=b"}, "body": "made"}
END = {"op": "RunComplete", "id": COMPLETE, "data": ANSWER}


class Endpoint:
    """``POST /orders`` of an app: what it answers to the engine stands in a list, the last one again and again."""

    def __init__(self, stage: Stage, *answers: Response | Callable[[], Response]) -> None:
        self._http = stage.http
        self._answers = list(answers)
        self.origin = ""
        self.requests: list[dict[str, Any]] = []
        self.run_id = ids.new(stage.bench.now)
        self.app = FastAPI()
        self.app.post("/orders")(self._answer)

    async def _answer(self, request: Request) -> Response:
        headers, body = dict(request.headers), (await request.body()).decode()
        self.requests.append({"headers": headers, "body": body, "query": str(request.query_params)})
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer if isinstance(answer, Response) else answer()

    @contextmanager
    def served(self) -> Iterator[Endpoint]:
        with served(self.app) as self.origin:
            yield self

    def begin(self, *reported: dict[str, Any], **changed: Any) -> Any:
        """Tell the server of the run, as an app does that has got a request."""
        data = {
            "domain": self.origin,
            "method": "POST",
            "path": "/orders",
            "query_params": "x=1&y=2",
            "fn": "",
            "body": '{"b": 1, "a": 2}',
            "content_type": "application/json",
            "ip": "",
        }
        body = {
            "run_id": self.run_id,
            "event": {"name": "inngest/http.request", "data": data},
            "steps": list(reported),
            "request_version": 2,
            "retries": 1,
        }
        return self._http.post("/v1/checkpoint", json={**body, **changed})

    def report(self, *reported: dict[str, Any]) -> Any:
        return self._http.post(f"/v1/checkpoint/{self.run_id}/steps", json={"steps": list(reported)})

    def output(self, token: str) -> Any:
        return self._http.get(f"/v1/checkpoint/{self.run_id}/output?token={token}")


@contextmanager
def endpoint(stage: Stage, *answers: Response | Callable[[], Response]) -> Iterator[Endpoint]:
    with Endpoint(stage, *(answers or (done("not called", 500),))).served() as each:
        yield each


def ran(key: str, data: Any = None) -> dict[str, Any]:
    return op("StepRun", key, data=data)


def test_a_run_that_its_app_executes_from_start_to_end(stage: Stage) -> None:
    with endpoint(stage) as app:
        begun = app.begin(ran("a", 1))
        assert begun.status_code == 201
        assert begun.json()["data"].keys() == {"fn_id", "app_id", "run_id", "token", "realtime_token"}
        listens = {"token": begun.json()["data"]["realtime_token"]}
        with stage.http.stream("GET", "/v1/realtime/sse", params=listens) as heard:
            assert heard.status_code == 200
        assert app.report(ran("b", 2)).status_code == 200
        stage.drain()
        assert stage.bench.inline.runs.get(app.run_id).status is RunStatus.RUNNING
        assert app.report(END).status_code == 200
        stage.bench.advance(days=1)
        assert app.requests == []

        answer = app.output(begun.json()["data"]["token"])
        assert (answer.status_code, answer.text) == (201, "made")
        assert answer.headers["content-type"] == "text/plain"
        assert "set-cookie" not in answer.headers
    run = stage.bench.inline.runs.get(app.run_id)
    assert (run.status, run.output) == (RunStatus.COMPLETED, ANSWER)
    assert [(step.id, step.memo) for step in stage.bench.steps(run)] == [("a", '{"data":1}'), ("b", '{"data":2}')]


def test_what_takes_time_is_gone_on_with_by_making_the_request_again(stage: Stage) -> None:
    with endpoint(stage, steps(END)) as app:
        app.begin(ran("a", 1))
        sleep = op("Sleep", "nap", opts={"duration": "1h"})
        assert app.report(sleep).status_code == 200
        # Its answer was lost: told again, it is the same.
        assert app.report(sleep).status_code == 200
        assert app.report(ran("b", 2)).status_code == 409
        stage.bench.advance(hours=2)
    [request] = app.requests
    assert (request["body"], request["query"]) == ('{"b": 1, "a": 2}', "x=1&y=2")
    assert request["headers"]["x-run-id"] == app.run_id
    assert request["headers"]["x-inngest-signature"] == ""
    assert request["headers"]["x-inngest-step-id"] == "step"
    run = stage.bench.inline.runs.get(app.run_id)
    assert (run.status, run.output) == (RunStatus.COMPLETED, ANSWER)


@pytest.mark.databases("sqlite", "postgres")
def test_steps_in_parallel_are_done_by_calls(stage: Stage) -> None:
    def one(key: str) -> Callable[[], Response]:
        return lambda: steps(ran(key, key))

    with endpoint(stage, one("l"), one("r"), steps(END)) as app:
        plans = [op("StepPlanned", key) for key in ("l", "r")]
        assert app.begin(*plans).status_code == 201
        assert app.begin(*plans).status_code == 200
        stage.drain()
    asked = [request["headers"]["x-inngest-step-id"] for request in app.requests]
    assert asked == ["l", "r", "step"]
    assert stage.bench.inline.runs.get(app.run_id).status is RunStatus.COMPLETED


@pytest.mark.parametrize("key", ["a", COMPLETE], ids=["step", "function"])
def test_a_failure_is_tried_again_by_a_call(stage: Stage, key: str) -> None:
    failed = {"op": "StepError", "id": key, "error": {"name": "Boom", "message": "no"}}
    if key == "a":
        failed["displayName"] = "a"
    with endpoint(stage, done({"name": "Boom", "message": "still no"}, 500)) as app:
        token = app.begin(failed).json()["data"]["token"]
        assert app.report(failed).status_code == 200
        stage.drain()
        assert app.requests == []
        stage.bench.advance(minutes=2)
        assert len(app.requests) == 1
        run = stage.bench.inline.runs.get(app.run_id)
        assert run.status is RunStatus.FAILED
        answer = app.output(token)
        assert answer.status_code == 500
        assert answer.json()["error"] == "still no"
        assert answer.json()["code"] == "run_failed"


def test_an_app_that_dies_is_called_when_its_lease_is_over_and_its_late_reports_are_refused(stage: Stage) -> None:
    with endpoint(stage, steps(ran("b", 2)), steps(END)) as app:
        app.begin(ran("a", 1))
        stage.bench.advance(minutes=4)
        # Silent for 4 minutes of the 5: a report begins them anew.
        assert app.report(ran("slow", 1)).status_code == 200
        stage.bench.advance(minutes=4)
        assert app.requests == []
        stage.bench.advance(minutes=2)
        assert len(app.requests) == 2
        late = app.report(ran("c", 3))
        assert (late.status_code, late.json()["code"]) == (409, "stale_dispatch")
    run = stage.bench.inline.runs.get(app.run_id)
    assert run.status is RunStatus.COMPLETED
    assert [step.id for step in stage.bench.steps(run)] == ["a", "slow", "b"]


def test_a_run_is_begun_once(stage: Stage) -> None:
    with endpoint(stage) as app:
        assert app.begin(idempotency="order-7").status_code == 201
        assert app.begin(ran("a", 1), idempotency="order-7").status_code == 200
        first, app.run_id = app.run_id, ids.new(stage.bench.now)
        again = app.begin(idempotency="order-7")
        assert (again.status_code, again.json()["code"]) == (409, "run_exists")
        assert first in again.json()["error"]
        app.run_id = first
        event = {"data": {"domain": app.origin, "method": "GET", "path": "/orders"}}
        assert app.begin(event=event).status_code == 409
        [step] = stage.bench.steps(stage.bench.inline.runs.get(first))
        assert step.id == "a"
        app.report(END)


@pytest.mark.databases("sqlite", "postgres")
def test_a_cancelled_run_is_dropped_by_its_app(stage: Stage) -> None:
    with endpoint(stage) as app:
        token = app.begin(ran("a", 1)).json()["data"]["token"]
        assert stage.http.delete(f"/v1/runs/{app.run_id}").status_code == 200
        assert app.report(ran("b", 2)).status_code == 409
        assert app.output(token).status_code == 409
        stage.bench.advance(days=1)
        assert app.requests == []


@pytest.mark.databases("sqlite", "postgres")
def test_an_output_is_for_whoever_has_its_token(stage: Stage) -> None:
    with endpoint(stage) as app:
        token = app.begin(END).json()["data"]["token"]
        first, app.run_id = app.run_id, ids.new(stage.bench.now)
        other = app.begin(END).json()["data"]["token"]
        app.run_id = first
        for wrong in ("", "x", other, token[:-2], token.rpartition(".")[0] + "."):
            assert app.output(wrong).status_code == 401, wrong
        answer = stage.http.get(f"/v1/http/runs/{first}/output?token={token}", headers={"origin": "http://shop"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.status_code == 201
        stage.bench.advance(days=8)
        assert app.output(token).status_code == 401


@pytest.mark.databases("sqlite", "postgres")
def test_endpoints_appear_as_functions_of_an_app(stage: Stage) -> None:
    with endpoint(stage) as app:
        app.begin(END)
        query = "{ apps { name method url functions { slug url } } }"
        [found] = stage.http.post("/v0/gql", json={"query": query}).json()["data"]["apps"]
        host = app.origin.replace("127.0.0.1", "localhost").removeprefix("http://")
        assert (found["name"], found["method"], found["url"]) == (host, "API", None)
        [function] = found["functions"]
        assert function == {"slug": f"{host}-POST-orders", "url": f"http://{host}/orders"}
        # There is no request to make of it.
        called = stage.http.post(f"/invoke/{host}-POST-orders", json={"data": {}})
        stage.bench.advance(days=1)
        [run] = stage.bench.inline.runs.of_event(called.json()["id"])
        assert run.output["code"] == "not_an_http_request"  # type: ignore[index]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"run_id": "x"}, 400),
        ({"event": {"data": {"domain": "ftp://x", "method": "GET", "path": "/"}}}, 400),
        ({"event": {"data": {"domain": "http://x", "method": "get\0", "path": "/"}}}, 400),
        ({"event": {}}, 400),
        ({"retries": 21}, 400),
        ({"steps": [{"op": 1}]}, 400),
        ({"steps": {}}, 400),
        ({"idempotency": ""}, 400),
    ],
)
def test_what_is_no_run_is_refused(stage: Stage, changed: dict[str, Any], status: int) -> None:
    with endpoint(stage) as app:
        answer = app.begin(**changed)
        assert answer.status_code == status, answer.text
        assert app.report(ran("a")).status_code == 404
        assert stage.http.get("/v1/events?name=inngest/http.request&include_internal=true").json()["data"] == []


@pytest.mark.databases("sqlite", "postgres")
def test_a_report_of_a_function_that_is_no_endpoint_is_refused(stage: Stage) -> None:
    with Scripted(steps(op("Sleep", "nap", opts={"duration": "1h"}))).registered(stage):
        run = stage.start("shop/a")
    answer = stage.http.post(f"/v1/checkpoint/{run.id}/steps", json={"steps": [ran("a")]})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_an_endpoint")
    too_much = {"steps": [ran("a", "x" * (4 * 1024 * 1024))]}
    with endpoint(stage) as app:
        app.begin()
        assert stage.http.post(f"/v1/checkpoint/{app.run_id}/steps", json=too_much).status_code == 413
        app.report(END)
        assert json.loads(stage.http.get(f"/v1/runs/{app.run_id}").text)["data"]["status"] == "Completed"
