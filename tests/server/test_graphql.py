"""GraphQL as the Dev Server's pages ask it, over real HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import inngest as official
import pytest
import sqlalchemy as sa
from fastapi import Response

import inngest_celery as inngest
from inngest_celery import ids
from inngest_celery.server.graphql import queries
from inngest_celery.server.times import instant
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runs import RunInfo
from tests.functions.bench import Bench
from tests.server.scripted import Scripted, done, op, steps
from tests.server.stage import Stage

RUNS = """
query Runs($filter: RunsFilterV2!, $orderBy: [RunsV2OrderBy!]!, $first: Int!, $after: String) {
  runs(filter: $filter, orderBy: $orderBy, first: $first, after: $after) {
    edges { cursor node {
      id status queuedAt startedAt endedAt eventName output isBatch cronSchedule hasAI
      app { externalID name } function { name slug }
      trace { name status childrenSpans { name status stepOp stepID attempts outputID } }
    } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}
"""
TRACE = """
query Trace($run: String!) {
  run(runID: $run) { id status function { slug } }
  runTrigger(runID: $run) { eventName IDs payloads isBatch timestamp }
  runTrace(runID: $run) { ...span childrenSpans { ...span childrenSpans { ...span } } }
}
fragment span on RunTraceSpan {
  name status isRoot spanID traceID runID queuedAt startedAt endedAt duration attempts outputID
  stepOp stepID parentSpanID
  stepInfo {
    __typename
    ... on SleepStepInfo { sleepUntil }
    ... on WaitForEventStepInfo { eventName expression timeout timedOut foundEventID }
    ... on WaitForSignalStepInfo { signal signalTimeout: timeout timedOut }
    ... on RunStepInfo { type }
  }
}
"""
FROM = {"from": "2020-01-01T00:00:00Z"}
NEWEST = [{"field": "QUEUED_AT", "direction": "DESC"}]


@pytest.fixture(autouse=True)
def functions(bench: Bench) -> None:
    @bench.function(trigger=inngest.TriggerEvent(event="shop/a"), retries=1)
    def fn(ctx: inngest.ContextSync) -> Any:
        first = ctx.step.run("first", lambda: ctx.event.data["n"])
        if first == 13:
            ctx.step.run("bad", bad)
        ctx.step.sleep("nap", timedelta(minutes=1))
        ctx.step.wait_for_event("wait", event="shop/go", if_exp="async.data.n == event.data.n", timeout=60_000)
        return {"n": first}

    def bad() -> None:
        raise ValueError("thirteen")


def ask(stage: Stage, query: str, **variables: Any) -> Any:
    answer = stage.http.post("/v0/gql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert "errors" not in told, told["errors"]
    return told["data"]


def refusal(stage: Stage, query: str, **variables: Any) -> str:
    told = stage.http.post("/v0/gql", json={"query": query, "variables": variables}).json()
    return str(told["errors"][0]["message"])


def test_runs_page_by_page(stage: Stage) -> None:
    started = [stage.start("shop/a", n=number).id for number in range(5)]
    first = ask(stage, RUNS, filter=FROM, orderBy=NEWEST, first=2)["runs"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (5, True)
    second = ask(stage, RUNS, filter=FROM, orderBy=NEWEST, first=3, after=first["pageInfo"]["endCursor"])["runs"]
    assert second["pageInfo"]["hasNextPage"] is False
    assert [edge["node"]["id"] for edge in [*first["edges"], *second["edges"]]] == started[::-1]
    node = first["edges"][0]["node"]
    assert (node["status"], node["eventName"], node["function"]["slug"]) == ("RUNNING", "shop/a", "app-fn")
    assert [span["name"] for span in node["trace"]["childrenSpans"]] == ["first", "nap"]
    oldest = ask(stage, RUNS, filter=FROM, orderBy=[{"field": "STARTED_AT", "direction": "ASC"}], first=5)["runs"]
    assert sorted(edge["node"]["id"] for edge in oldest["edges"]) == sorted(started)
    stage.bench.advance(hours=1)


def test_runs_by_what_is_true_of_them(stage: Stage) -> None:
    good, bad = stage.start("shop/a", n=1), stage.start("shop/a", n=13)
    stage.bench.advance(hours=1)

    def found(**wanted: Any) -> list[str]:
        answer = ask(stage, RUNS, filter={**FROM, **wanted}, orderBy=NEWEST, first=10)
        return [edge["node"]["id"] for edge in answer["runs"]["edges"]]

    assert found(status=["FAILED"]) == [bad.id]
    assert found(status=["SKIPPED"]) == []
    assert found(status=["COMPLETED", "FAILED"]) == [bad.id, good.id]
    assert found(query="event.data.n == 1") == [good.id]
    assert found(query="output.n == 1") == [good.id]
    assert found(query="error.message == 'thirteen'") == [bad.id]
    assert found(functionIDs=[ids.function_uuid("app-fn")]) == [bad.id, good.id]
    assert found(functionIDs=[ids.function_uuid("app-other")]) == []
    assert found(appIDs=[ids.app_uuid("app")]) == [bad.id, good.id]
    assert found(until="2020-01-02T00:00:00Z") == []


def test_a_trace_shows_what_happened_and_what_is_waited_for(stage: Stage) -> None:
    run = stage.start("shop/a", n=7)
    told = ask(stage, TRACE, run=run.id)
    assert told["runTrigger"]["eventName"] == "shop/a"
    assert json.loads(told["runTrigger"]["payloads"][0])["data"] == {"n": 7}
    root = told["runTrace"]
    assert (root["isRoot"], root["status"]) == (True, "RUNNING")
    first, nap = root["childrenSpans"]
    assert (first["status"], first["stepOp"], first["attempts"]) == ("COMPLETED", "RUN", 1)
    assert (nap["status"], nap["stepOp"], nap["stepInfo"]["__typename"]) == ("WAITING", "SLEEP", "SleepStepInfo")
    stage.bench.advance(minutes=1)
    wait = ask(stage, TRACE, run=run.id)["runTrace"]["childrenSpans"][-1]
    assert (wait["stepOp"], wait["stepInfo"]["eventName"]) == ("WAIT_FOR_EVENT", "shop/go")
    assert "async.data.n == 7" in wait["stepInfo"]["expression"]
    output = "query($id: String!) { runTraceSpanOutputByID(outputID: $id) { data error { message name } } }"
    assert ask(stage, output, id=first["outputID"])["runTraceSpanOutputByID"] == {"data": "7", "error": None}
    stage.bench.finish(run)


def test_what_was_waited_for_is_known_when_it_is_over(stage: Stage) -> None:
    run = stage.start("shop/a", n=7)
    told = ask(stage, TRACE, run=run.id)["runTrace"]["childrenSpans"][-1]["stepInfo"]
    stage.bench.advance(minutes=1)
    open_wait = ask(stage, TRACE, run=run.id)["runTrace"]["childrenSpans"][-1]["stepInfo"]
    stage.bench.finish(run)
    _, nap, wait = ask(stage, TRACE, run=run.id)["runTrace"]["childrenSpans"]
    assert nap["stepInfo"] == told
    assert wait["stepInfo"] == {**open_wait, "timedOut": True}
    assert wait["stepInfo"]["eventName"] == "shop/go"
    spans = stage.http.get(f"/v2/runs/{run.id}/trace").json()["data"]["children"]
    assert [span["waitsFor"] for span in spans] == [None, None, "shop/go"]


def test_signals_that_came_and_that_did_not(stage: Stage) -> None:
    def wait(name: str) -> Response:
        return steps(op("WaitForSignal", name, opts={"signal": f"shop/{name}", "timeout": "1h"}))

    with Scripted(wait("came"), wait("not"), done(1)).registered(stage, triggers=[{"event": "shop/signals"}]):
        run = stage.start("shop/signals")
        [waits] = ask(stage, TRACE, run=run.id)["runTrace"]["childrenSpans"]
        assert stage.http.post("/v1/signals", json={"signal": "shop/came", "data": 1}).status_code == 200
        stage.drain()
        stage.bench.finish(run)
    came, never = (span["stepInfo"] for span in ask(stage, TRACE, run=run.id)["runTrace"]["childrenSpans"])
    assert came == {**waits["stepInfo"], "signal": "shop/came", "timedOut": False}
    assert (never["signal"], never["timedOut"]) == ("shop/not", True)
    assert never["signalTimeout"] >= came["signalTimeout"] > instant((run.started_at or 0) + 3_500_000)


def test_a_failed_step_shows_its_attempts(stage: Stage) -> None:
    run = stage.start("shop/a", n=13)
    stage.bench.finish(run)
    root = ask(stage, TRACE, run=run.id)["runTrace"]
    bad = next(span for span in root["childrenSpans"] if span["name"] == "bad")
    assert (bad["status"], bad["attempts"], len(bad["childrenSpans"])) == ("FAILED", 2, 2)
    output = "query($id: String!) { runTraceSpanOutputByID(outputID: $id) { data error { message name stack } } }"
    for span in (root, bad, bad["childrenSpans"][0]):
        told = ask(stage, output, id=span["outputID"])["runTraceSpanOutputByID"]
        assert (told["data"], told["error"]["message"], told["error"]["name"]) == (None, "thirteen", "ValueError")


def test_events_and_their_runs(stage: Stage) -> None:
    run = stage.start("shop/a", n=1)
    stage.send("shop/other", n=2)
    stage.drain()
    query = """query($filter: EventsFilter!, $first: Int!, $after: String) {
      eventsV2(filter: $filter, first: $first, after: $after) {
        totalCount pageInfo { hasNextPage endCursor }
        edges { node { id name raw receivedAt occurredAt idempotencyKey runs { id status } } }
      } }"""
    first = ask(stage, query, filter=FROM, first=1)["eventsV2"]
    assert (first["totalCount"], first["edges"][0]["node"]["name"]) == (2, "shop/other")
    assert first["edges"][0]["node"]["runs"] == []
    after = first["pageInfo"]["endCursor"]
    second = ask(stage, query, filter=FROM, first=1, after=after)["eventsV2"]
    assert second["edges"][0]["node"]["runs"] == [{"id": run.id, "status": "RUNNING"}]
    named = ask(stage, query, filter={**FROM, "query": "event.data.n == 2"}, first=5)["eventsV2"]
    assert [edge["node"]["name"] for edge in named["edges"]] == ["shop/other"]
    older = """query($id: ID!) { event(query: {eventId: $id}) {
      name status totalRuns pendingRuns raw functionRuns { id status output } }
      stream(query: {limit: 5}) { id trigger type inBatch runs { id } } }"""
    told = ask(stage, older, id=run.event_id)
    assert (told["event"]["status"], told["event"]["totalRuns"], told["event"]["pendingRuns"]) == ("RUNNING", 1, 1)
    assert [item["trigger"] for item in told["stream"]] == ["shop/other", "shop/a"]
    stage.bench.finish(run)


def test_apps_and_functions(stage: Stage) -> None:
    client = stage.client("shop")

    @client.create_function(
        fn_id="limited",
        trigger=official.TriggerEvent(event="shop/b", expression="event.data.x == 1"),
        cancel=[official.Cancel(event="shop/stop")],
        debounce=official.Debounce(period=timedelta(seconds=5)),
        singleton=official.Singleton(mode="skip"),
    )
    async def limited(ctx: official.Context) -> None:
        pass

    query = """{ apps { id externalID name sdkLanguage sdkVersion framework url error functionCount method connected
        functions { slug name triggers { type value condition } configuration {
          retries { value isDefault } cancellations { event } debounce { period } singleton { mode }
          concurrency { limit { value } } } } }
      functions { id slug appID app { name } concurrency url failureHandler { slug } } }"""
    with stage.app(client, [limited]) as url:
        told = ask(stage, query)
        shop = next(app for app in told["apps"] if app["externalID"] == "shop")
        assert (shop["sdkLanguage"], shop["framework"], shop["functionCount"], shop["method"]) == (
            "py",
            "fast_api",
            1,
            "SERVE",
        )
        [function] = shop["functions"]
        assert function["triggers"] == [{"type": "EVENT", "value": "shop/b", "condition": "event.data.x == 1"}]
        assert function["configuration"]["debounce"] == {"period": "5s"}
        assert function["configuration"]["singleton"] == {"mode": "SKIP"}
        assert {each["slug"] for each in told["functions"]} == {"app-fn", "shop-limited"}
        delete = 'mutation { deleteAppByName(name: "shop") }'
        assert ask(stage, delete) == {"deleteAppByName": True}
        create = "mutation($url: String!) { createApp(input: {url: $url}) { externalID functions { slug } } }"
        created = ask(stage, create, url=url)["createApp"]
        assert created == {"externalID": "shop", "functions": [{"slug": "shop-limited"}]}
    assert "cannot be reached" in refusal(stage, create, url="http://localhost:9/api/inngest")


def test_runs_are_called_cancelled_and_repeated(stage: Stage) -> None:
    invoke = 'mutation { invokeFunction(functionSlug: "app-fn", data: {n: 3}) }'
    assert ask(stage, invoke) == {"invokeFunction": True}
    stage.drain()
    [run] = stage.bench.inline.runs.list()
    cancel = "mutation($id: ULID!) { cancelRun(runID: $id) { id status } }"
    assert ask(stage, cancel, id=run.id)["cancelRun"] == {"id": run.id, "status": "CANCELLED"}
    assert ask(stage, cancel, id=run.id)["cancelRun"]["status"] == "CANCELLED"
    again = "mutation($id: ULID!) { rerun(runID: $id) }"
    repeated = ask(stage, again, id=run.id)["rerun"]
    stage.drain()
    assert stage.bench.output(info(stage, repeated)) == {"n": 3}
    assert [row.original_run_id for row in stage.bench.rows(schema.run, id=repeated)] == [run.id]
    assert refusal(stage, cancel, id=repeated) == "cannot cancel an ended run"
    assert "no run" in refusal(stage, again, id="01HF7YAT000000000000000001")


def info(stage: Stage, run_id: str) -> RunInfo:
    return stage.bench.inline.runs.get(run_id)


def test_a_run_is_repeated_from_a_step_with_another_input(stage: Stage) -> None:
    def answer(call: dict[str, Any]) -> Any:
        known = call["steps"]
        for key in ("a", "b"):
            if "data" not in (known.get(key) or {}):
                given = (known.get(key) or {}).get("input", ["as before"])
                return steps(op("StepRun", key, data=f"{key} of {given[0]}"))
        return done([known["a"]["data"], known["b"]["data"]])

    app = Scripted(answer)
    with app.registered(stage, triggers=[{"event": "shop/remote"}]):
        run = stage.start("shop/remote")
        assert stage.bench.get(run).output == ["a of as before", "b of as before"]
        again = "mutation($id: ULID!, $step: RerunFromStepInput) { rerun(runID: $id, fromStep: $step) }"
        calls = len(app.calls)
        repeated = ask(stage, again, id=run.id, step={"stepID": "b", "input": '["edited"]'})["rerun"]
        stage.drain()
        assert info(stage, repeated).output == ["a of as before", "b of edited"]
        first = app.calls[calls]
        assert first["steps"] == {"a": {"data": "a of as before"}, "b": {"input": ["edited"]}}
        assert first["ctx"]["stack"]["stack"] == ["a"]
        native = stage.start("shop/a", n=1)
        assert "another input" in refusal(stage, again, id=native.id, step={"stepID": "first", "input": "[1]"})
        stage.bench.finish(native)


@pytest.mark.databases("sqlite")
def test_many_runs_cost_no_more_statements_than_one(stage: Stage) -> None:
    stage.start("shop/a", n=1)
    counted: list[str] = []
    sa.event.listen(stage.bench.database.engine, "before_cursor_execute", lambda *args: counted.append(args[2]))

    def cost() -> int:
        counted.clear()
        ask(stage, RUNS, filter=FROM, orderBy=NEWEST, first=50)
        return len(counted)

    alone = cost()
    for number in range(9):
        stage.start("shop/a", n=number)
    assert cost() == alone
    assert alone <= 9
    stage.bench.advance(hours=1)


@pytest.mark.databases("sqlite")
def test_what_cannot_be_asked(stage: Stage) -> None:
    assert "Syntax Error" in refusal(stage, "{")
    assert "Cannot query field" in refusal(stage, "{ nothing }")
    deep = "{ functions { app { functions { app { functions { app { functions { app { functions { app { functions {"
    deep += " app { functions { app { functions { app { functions { app { functions { app { functions { app { name"
    assert "depth" in refusal(stage, deep + " }" * deep.count("{"))
    assert "first must be" in refusal(stage, RUNS, filter=FROM, orderBy=NEWEST, first=100_000)
    assert "cursor" in refusal(stage, RUNS, filter=FROM, orderBy=NEWEST, first=1, after="nonsense")
    assert "query" in refusal(stage, RUNS, filter={**FROM, "query": "event.data.n =="}, orderBy=NEWEST, first=1)
    assert stage.http.post("/v0/gql", json={}).status_code == 400


@pytest.mark.databases("postgres")
def test_errors_have_codes_and_a_fault_of_ours_tells_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def code(query: str) -> str:
        answer = stage.http.post("/v0/gql", json={"query": query})
        assert answer.status_code == 200
        [error] = answer.json()["errors"]
        assert "secret" not in error["message"]
        return str(error["extensions"]["code"])

    assert code('{ stream(query: {before: "soon"}) { id } }') == "invalid_id"
    assert code(r'{ run(runID: "\u0000") { id } }') == "value_invalid"
    assert not caplog.records, "whoever asks is told, and nobody else"
    # What no question may come upon.
    monkeypatch.setattr(queries, "functions_of", lambda info: {}["secret"])
    assert code("{ functions { id } }") == "internal_error"
    assert "KeyError: 'secret'" in caplog.text


@pytest.mark.databases("sqlite")
def test_it_can_be_explored(stage: Stage) -> None:
    from graphql import get_introspection_query

    told = ask(stage, get_introspection_query())
    names = {each["name"] for each in told["__schema"]["types"]}
    assert {"FunctionRunV2", "RunTraceSpan", "EventV2", "RunsFilterV2", "ULID", "Bytes"} <= names


@pytest.mark.databases("sqlite")
def test_a_skipped_run_is_shown_as_one(bench: Bench, stage: Stage) -> None:
    bench.client.control.pause("app-fn")
    stage.send("shop/a", n=1)
    stage.drain()
    told = ask(stage, RUNS, filter={**FROM, "status": ["SKIPPED"]}, orderBy=NEWEST, first=5)["runs"]
    assert [edge["node"]["status"] for edge in told["edges"]] == ["SKIPPED"]
    assert [run.status for run in stage.bench.inline.runs.list()] == [RunStatus.SKIPPED]
