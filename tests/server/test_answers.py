"""What an app answers, and what becomes of the run: by status, by header, by operation; and what is sent next."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fastapi import Response
from fastapi.responses import RedirectResponse

from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker import run_report
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.scripted import SDK, Scripted, done, op, steps
from tests.server.stage import Stage, staged
from tests.server.web import served

pytestmark = pytest.mark.databases("sqlite")

ERROR = {"name": "Bad", "message": "no", "stack": "at line 1", "cause": {"name": "Worse", "message": "deep"}}


def streamed(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    text = "   \n" + json.dumps({"status": status, "body": body, "headers": headers or {}})
    return Response(text, 201, headers=SDK)


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (done({"x": 1}), {"x": 1}),
        (done(None), None),
        (Response("", 200, headers=SDK), None),
        (Response("  \n 7", 200, headers=SDK), 7),
        (Response("plain", 200, headers=SDK), "plain"),
        (streamed(200, '{"x": 1}'), {"x": 1}),
        (streamed(200, {"x": 1}), {"x": 1}),
        (streamed(206, json.dumps([op("RunComplete", "", data=5)])), 5),
        (steps(op("RunComplete", "", data={"y": 2})), {"y": 2}),
    ],
)
def test_what_is_a_result(stage: Stage, answer: Response, output: Any) -> None:
    with Scripted(answer).registered(stage):
        assert stage.output("shop/a") == output


@pytest.mark.parametrize(
    ("answer", "error", "calls"),
    [
        (done(ERROR, 500), ERROR, 2),
        (done(ERROR, 400), ERROR, 2),
        (done(ERROR, 500, **{"x-inngest-no-retry": "true"}), ERROR, 1),
        (done(ERROR, 400, **{"x-inngest-no-retry": "false"}), ERROR, 2),
        (done(json.dumps(ERROR), 500), ERROR, 2),
        (done("only text", 500), {"name": "Error", "message": "only text"}, 2),
        (done({}, 500), {"message": "invalid status code: 500"}, 2),
        (streamed(500, json.dumps(ERROR), {"X-Inngest-No-Retry": "true"}), ERROR, 1),
        (Response("<html>", 502, media_type="text/html"), {"name": "Server returned a fatal error"}, 2),
        (Response("<html>", 200, media_type="text/html"), {"name": "NotSDK", "code": "not_sdk"}, 2),
        (Response("{", 206, headers=SDK), {"code": "not_sdk"}, 2),
        (Response(b"\xff", 200, headers=SDK), {"code": "not_sdk"}, 2),
        (steps(op("Unheard", "a")), {"code": "unknown_op"}, 1),
        (steps(op("StepRun", "")), {"code": "not_sdk"}, 2),
        (steps(), {"code": "nothing_to_do"}, 2),
        (steps(op("WaitForEvent", "a", opts={"event": "b", "if": "async.data.x ==", "timeout": "1h"})),
         {"code": "not_sdk"}, 2),
        (steps(op("Sleep", "a", opts={"duration": "500d"})), {"name": "InngestErrTimeoutTooLong"}, 1),
        (Response(b"x" * (8 * 1024 * 1024 + 1), 200, headers=SDK), {"code": "output_too_large"}, 1),
        (done("x" * (4 * 1024 * 1024 + 1)), {"name": "InngestErrStepOutputTooLarge"}, 1),
    ],
)  # fmt: skip
def test_what_is_a_failure(stage: Stage, answer: Response, error: dict[str, Any], calls: int) -> None:
    app = Scripted(answer)
    with app.registered(stage, retries=1):
        told = stage.error("shop/a")
    assert {name: told.get(name) for name in error} == error
    assert len(app.calls) == calls
    assert [call["ctx"]["attempt"] for call in app.calls] == list(range(calls))


@pytest.mark.parametrize(("after", "least_ms"), [("7", 7000), ("2100-01-01T00:00:00Z", 86_400_000), ("0", 1000)])
def test_the_next_attempt_comes_when_it_was_asked_for(stage: Stage, after: str, least_ms: int) -> None:
    app = Scripted(done(ERROR, 500, **{"retry-after": after}), done("well"))
    with app.registered(stage):
        began = stage.bench.now
        run = stage.start("shop/a")
        [job] = stage.bench.jobs(run)
        assert began + least_ms <= job.due_at <= stage.bench.now + least_ms
        assert stage.bench.output(run) == "well"


def test_redirects_are_followed_up_to_a_point(stage: Stage) -> None:
    app = Scripted(RedirectResponse("/api/inngest?fnId=shop-fn&stepId=step", 307))
    with app.registered(stage, retries=0):
        assert stage.error("shop/a")["code"] == "http_unreachable"
    assert 60 <= len(app.calls) <= 61


def test_a_call_has_what_sdks_read(stage: Stage) -> None:
    app = Scripted(
        steps(op("StepRun", "one", data={"x": 1})),
        steps(op("StepRun", "two", data=None)),
        done("end"),
    )
    with app.registered(stage, retries=3):
        run = stage.start("shop/a", n=7)
    first, _, third = app.calls
    assert first["ctx"] | {"fn_id": "", "request_id": "", "job_id": "", "qi_id": ""} == {
        "attempt": 0,
        "disable_immediate_execution": False,
        "env": "",
        "fn_id": "",
        "generation_id": 1,
        "job_id": "",
        "max_attempts": 4,
        "qi_id": "",
        "request_id": "",
        "run_id": run.id,
        "stack": {"current": 0, "stack": []},
        "step_id": "step",
        "use_api": False,
    }
    [event] = first["events"]
    assert event == first["event"]
    assert (event["name"], event["data"], event["user"]) == ("shop/a", {"n": 7}, {})
    assert (first["version"], third["version"]) == (-1, 2)
    assert (first["headers"]["x-inngest-req-version"], third["headers"]["x-inngest-req-version"]) == ("-1", "2")
    assert third["steps"] == {"one": {"data": {"x": 1}}, "two": {"data": None}}
    assert third["ctx"]["stack"] == {"current": 2, "stack": ["one", "two"]}
    assert first["headers"]["x-run-id"] == run.id
    assert stage.bench.get(run).output == "end"


def planned(*keys: str, **opts: Any) -> Response:
    return steps(*(op("StepPlanned", key, opts=opts or None) for key in keys))


class Group(Scripted):
    """Three parallel steps, and then the end."""

    def __init__(self, version: str = "2", **opts: Any) -> None:
        super().__init__(self._any)
        self._version, self._opts = version, opts

    def _any(self, call: dict[str, Any]) -> Response:
        headers = {"x-inngest-req-version": self._version}
        wanted = self.calls[-1]["stepId"]
        if wanted != "step":
            return steps(op("StepRun", wanted, data=wanted, opts=self._opts or None), **headers)
        missing = [key for key in "abc" if key not in call["steps"]]
        if not missing or (self._opts and len(missing) < 3):
            return done("end", **headers)
        return steps(*(op("StepPlanned", key, opts=self._opts or None) for key in missing), **headers)


def test_a_group_is_joined_by_one_call(stage: Stage) -> None:
    app = Group()
    with app.registered(stage):
        assert stage.output("shop/a") == "end"
    assert [call["stepId"] for call in app.calls] == ["step", "a", "b", "c", "step"]
    assert [call["ctx"]["disable_immediate_execution"] for call in app.calls] == [False, True, True, False, False]


def test_an_older_sdk_is_called_after_each_step(stage: Stage) -> None:
    app = Group(version="1")
    with app.registered(stage):
        assert stage.output("shop/a") == "end"
    # The plan, three steps, and a call after each of them.
    assert sorted(call["stepId"] for call in app.calls) == ["a", "b", "c", "step", "step", "step", "step"]
    # While others are open, nothing is executed where it is found.
    assert all(call["ctx"]["disable_immediate_execution"] for call in app.calls[1:5])


def test_a_race_is_over_with_the_first(stage: Stage) -> None:
    app = Group(parallelMode="race")
    with app.registered(stage):
        assert stage.output("shop/a") == "end"
    assert [call["stepId"] for call in app.calls] == ["step", "a", "step"]


def test_a_step_that_fails_beside_others_does_not_hold_them_up(stage: Stage) -> None:
    attempts: list[int] = []

    class Failing(Group):
        def _any(self, call: dict[str, Any]) -> Response:
            if self.calls[-1]["stepId"] == "b":
                attempts.append(call["ctx"]["attempt"])
                if len(attempts) < 2:
                    return steps(op("StepError", "b", error=ERROR))
            return super()._any(call)

    app = Failing()
    with app.registered(stage):
        run = stage.start("shop/a")
        assert sorted(step.id for step in stage.bench.steps(run)) == ["a", "c"]
        assert stage.bench.output(run) == "end"
    assert attempts == [0, 1]


def test_a_step_that_is_not_found_again_is_looked_for_again(stage: Stage) -> None:
    app = Scripted(planned("a", "b"), steps(op("StepNotFound", "")), done("end"))
    with app.registered(stage):
        run = stage.start("shop/a")
        assert stage.bench.finish(run).status is RunStatus.COMPLETED


def test_an_app_that_does_not_read_what_it_is_sent_fails_and_is_not_forgotten(stage: Stage) -> None:
    """It asks for the same sleep for ever, though that is over."""
    app = Scripted(steps(op("Sleep", "a", opts={"duration": "1h"}), op("Sleep", "b", opts={"duration": "1h"})))
    with app.registered(stage, retries=2):
        assert stage.error("shop/a")["code"] in ("steps_repeated", "nothing_to_do")
    assert len(app.calls) <= 5


def test_a_signal_has_one_waiter(stage: Stage) -> None:
    wait = op("WaitForSignal", "a", opts={"signal": "go", "timeout": "1d", "conflict": "fail"})
    with Scripted(steps(wait)).registered(stage):
        first = stage.start("shop/a")
        second = stage.bench.get(stage.start("shop/a"))
        assert second.status is RunStatus.FAILED
        assert second.output["code"] == "signal_conflict"  # type: ignore[index, call-overload]
        assert [wait.run_id for wait in stage.bench.rows(schema.wait)] == [first.id]
        stage.bench.inline.runs.cancel(first.id)
        stage.drain()


def test_a_signal_can_be_taken_over(stage: Stage) -> None:
    wait = op("WaitForSignal", "a", opts={"signal": "go", "timeout": "1d", "conflict": "replace"})

    def answer(call: dict[str, Any]) -> Response:
        return done(call["steps"]["a"]) if "a" in call["steps"] else steps(wait)

    with Scripted(answer).registered(stage):
        first, second = stage.start("shop/a"), stage.start("shop/a")
        ended = [stage.bench.output(run) for run in (first, second)]
    assert ended == [None, None], "both have waited in vain, each for its own time"


def test_a_request_is_made_for_the_function(stage: Stage) -> None:
    seen = []

    api = Scripted(Response('{"told": 1}', 418, headers={"x-seen": "yes"}))
    with served(api.app) as origin:
        opts = {"url": f"{origin}/api/inngest?stepId=x", "method": "POST", "headers": {"x-a": "b"}, "body": '{"q":1}'}

        def answer(call: dict[str, Any]) -> Response:
            seen.append(call)
            return done(call["steps"]["a"]["data"]) if call["steps"] else steps(op("Gateway", "a", opts=opts))

        with Scripted(answer).registered(stage):
            told = stage.output("shop/a")
    assert (told["status_code"], told["body"], told["headers"]["x-seen"]) == (418, '{"told": 1}', "yes")
    assert (api.calls[0]["q"], api.calls[0]["headers"]["x-a"]) == (1, "b")
    assert len(seen) == 2


def test_a_request_that_brings_nothing_fails_its_step(stage: Stage) -> None:
    opts = {"url": "http://localhost:9/", "method": "GET"}

    def answer(call: dict[str, Any]) -> Response:
        return done(call["steps"]["a"]["error"]["name"]) if call["steps"] else steps(op("Gateway", "a", opts=opts))

    with Scripted(answer).registered(stage, retries=1):
        run = stage.start("shop/a")
        assert stage.bench.output(run) == "GatewayError"
    assert len(stage.bench.attempts(run)) == 2


def test_what_a_model_was_asked_is_kept(stage: Stage) -> None:
    model = Scripted(Response("busy", 529), Response('{"model": "m-2", "usage": {}}'))
    asked = {"model": "w", "prompt": "wrapped words", "temperature": 1, "client": {"apiKey": "sk-planted"}}
    wrapped = {"type": "step.ai.wrap", "input": [asked]}
    seen: list[Any] = []
    with served(model.app) as origin:
        opts = {
            "url": f"{origin}/api/inngest?stepId=x&key=sk-planted",
            "headers": {"x-planted": "sk-planted"},
            "auth_key": "sk-planted",
            "format": "openai-chat",
            "body": {"model": "m", "messages": ["inferred words"], "user": "sk-planted"},
            "type": "step.ai.infer",
        }

        def answer(call: dict[str, Any]) -> Response:
            seen.append(call)
            if len(seen) == 1:
                return steps(op("AIGateway", "a", opts=opts))
            if len(seen) == 2:
                error = {"name": "Busy", "message": "try again"}
                return steps(op("StepError", "b", opts=wrapped, error=error))
            return done("done") if len(seen) == 4 else steps(op("StepRun", "b", opts=wrapped, data={"said": 1}))

        with Scripted(answer).registered(stage, retries=1):
            run = stage.start("shop/a")
            assert stage.bench.output(run) == "done"
    made = run_report.report(runtime_of(stage.bench.app), run.id)
    assert [(each["step"], each["attempt"], each["asked_model"], each["prompt"]) for each in made["models"]] == [
        ("a", 1, "m", {"messages": ["inferred words"]}),
        ("a", 2, "m", {"messages": ["inferred words"]}),
        ("b", 1, "w", {"prompt": "wrapped words"}),
        ("b", 2, "w", {"prompt": "wrapped words"}),
    ]
    assert made["models"][1]["parameters"] == {"user": "[secret]"}
    assert made["models"][3]["parameters"] == {"temperature": 1, "client": {"apiKey": "[secret]"}}
    # Who looks at a step sees it, too.
    for step in stage.bench.steps(run):
        page = stage.http.get(f"/runs/{run.id}?step={step.id}").text
        assert "wrapped words" in page or "inferred words" in page
        output_id = base64.urlsafe_b64encode(json.dumps([run.id, step.id, ""]).encode()).decode()
        query = f'{{ runTraceSpanOutputByID(outputID: "{output_id}") {{ input }} }}'
        told = stage.http.post("/v0/gql", json={"query": query}).json()["data"]["runTraceSpanOutputByID"]
        assert "words" in told["input"]
    assert "sk-planted" not in stage.bench.dump()


def test_what_an_app_reports_by_itself_is_masked_before_it_is_stored(database_url: str) -> None:
    bench = Bench(database_url, inngest_masking=[{"pattern": "card_number", "at": "store"}])
    card = "4242424242424242"
    with staged(bench) as stage:

        def answer(call: dict[str, Any]) -> Response:
            if call["steps"]:
                return done(call["steps"]["a"]["data"])
            ctx = call["ctx"]
            said = op("StepRun", "a", data=f"card {card}", opts={"type": "step.ai.wrap", "input": [f"is {card} good?"]})
            given = {"qi_id": ctx["qi_id"], "generation_id": 1, "steps": [said]}
            stage.http.post(f"/v1/checkpoint/{ctx['run_id']}/async", json=given).raise_for_status()
            return steps(op("DiscoveryRequest", ""))

        with Scripted(answer).registered(stage):
            run = stage.start("shop/a")
            assert stage.bench.output(run) == "card [masked]"
        [asked] = run_report.report(runtime_of(bench.app), run.id)["models"]
        assert asked["prompt"] == "is [masked] good?"
        assert card not in bench.dump()
    bench.close()


def test_calls_are_in_the_trace_of_the_events_sender(stage: Stage) -> None:
    sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    app = Scripted(steps(op("Sleep", opts={"duration": "3d"}), op("StepPlanned", "b")), done("done"))
    with app.registered(stage):
        answer = stage.http.post("/e/test", json={"name": "shop/a"}, headers={"traceparent": sent, "tracestate": "a=b"})
        assert answer.status_code == 200
        stage.drain()
        stage.bench.advance(days=4)
        assert len(app.calls) > 1
        for call in app.calls:
            version, trace_id, span_id, flags = call["headers"]["traceparent"].split("-")
            assert (version, trace_id, flags, call["headers"]["tracestate"]) == ("00", sent.split("-")[1], "01", "a=b")
            # It is the run's.
            assert span_id != sent.split("-")[2]
            assert "_trace" not in call["event"]
        alone = stage.start("shop/a")
        stage.bench.finish(alone)
        assert app.calls[-1]["headers"]["traceparent"].split("-")[1] != sent.split("-")[1]
