"""What is masked is seen nowhere, by every way to look there is: routes, GraphQL's fields, tools. A new one is tried,
too, without a word here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import graphql
import httpx
import pytest

import inngest_celery as inngest
from inngest_celery.server.application import create_app
from inngest_celery.server.graphql import schema as graphql_schema
from inngest_celery.worker.runs import RunInfo
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.access.conftest import CLOUD, KEY, Guarded
from tests.server.access.test_routes import OPEN, SDK, routes_of

pytestmark = pytest.mark.databases("sqlite")

# What rules hide, where it stands: in data, user, outputs, errors, what others give, what is waited for.
CARD, EMAIL, TOKEN, WHY, CODE, HUSH = (
    *("4242424242424242", "ada.l@example.org", "planted-token", "planted-reason", "planted-code", "planted-hush"),
)
MASKED = (CARD, EMAIL, TOKEN, WHY, CODE)
RULES = [
    {"pattern": "card_number", "as": "last4", "reveal": "admin"},
    {"pattern": "email", "reveal": "operator"},
    {"path": "output.token", "reveal": ["admin"]},
    {"path": "error.message", "function": "app-*", "reveal": "admin"},
    {"path": "event.data.code", "reveal": "admin"},
    {"path": "event.user.*", "reveal": "admin"},
]
# They go on for as long as somebody listens; what they say of a run is no more than that it has changed.
ENDLESS = {"GET /live"}


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(database_url, inngest_signing_key=KEY, inngest_masking=RULES, inngest_secret_key="ab" * 32)
    define(bench)
    yield bench
    bench.close()


def define(bench: Bench) -> None:
    @bench.function("callee", trigger=inngest.TriggerEvent(event="test/never"), retries=0)
    def callee(ctx: inngest.ContextSync) -> Any:
        return {"token": TOKEN}

    @bench.function("fn", retries=0)
    def fn(ctx: inngest.ContextSync) -> Any:
        given = ctx.event.data
        assert (given["card"], given["code"]) == (int(CARD), CODE), "functions get what is stored"
        ctx.step.run("charge", lambda: {"token": TOKEN, "to": f"{EMAIL}: {CARD}"})
        ctx.step.run("seal", lambda: inngest.Secret(HUSH))
        ctx.step.invoke("call", function=callee, data={"code": CODE})
        if given["how"] == "wait":
            ctx.step.wait_for_event(
                "wait", event="test/paid", if_exp="async.data.code == event.data.code", timeout=3_600_000
            )
        if given["how"] == "fail":
            ctx.step.run("break", fail)
        return {"token": TOKEN, "mail": EMAIL}

    @bench.function("retried", trigger=inngest.TriggerEvent(event="test/retried"), retries=2)
    def retried(ctx: inngest.ContextSync) -> Any:
        ctx.step.run("break", fail)


def fail() -> None:
    raise ValueError(f"{WHY} {EMAIL}")


@dataclass
class Planted:
    """Runs whose payloads hold what is masked."""

    runs: list[RunInfo]

    def values(self) -> Iterator[dict[str, str]]:
        """What stands for the fields of addresses, for each run."""
        for run in self.runs:
            yield {
                "run_id": run.id,
                "event_id": run.event_id,
                "function_id": run.function_id,
                "function_id:path": run.function_id,
                "app_id": "app",
                "name": "app",
            }


@pytest.fixture
def planted(guarded: Guarded, bench: Bench) -> Planted:
    planted = {"card": int(CARD), "code": CODE, "list": [EMAIL], EMAIL: 1}
    started = [bench.run(how=how, **planted) for how in ("well", "fail", "wait", "resume")]
    bench.send("test/paid", code="other")
    waits = bench.run(how="wait", **planted)
    bench.send("test/paid", code=CODE)
    assert bench.get(waits).ended
    answer = guarded.http.post(
        "/e/event-key", json={"name": "test/go", "data": {**planted, "how": "wait"}, "user": {"email": "planted-user"}}
    )
    bench.inline.drain()
    started += bench.inline.runs.of_event(answer.json()["ids"][0])
    started += [waits, *bench.send("test/retried", code=CODE), *bench.inline.runs.list(function_id="app-callee")[:1]]
    return Planted(started)


def leaks(text: str, *more: str) -> list[str]:
    plain = text.replace("\\u002e", ".")
    return [value for value in (*MASKED, "planted-user", HUSH, *more) if value in plain]


def routes(bench: Bench) -> list[str]:
    found = list(routes_of(create_app(runtime_of(bench.app), CLOUD)))
    return [each for each in found if each.startswith("GET ") and each not in {*OPEN, *SDK, *ENDLESS}]


def addresses(bench: Bench, planted: Planted) -> list[str]:
    made: dict[str, None] = {}
    for route in routes(bench):
        for values in planted.values():
            address = route.removeprefix("GET ")
            for name, value in values.items():
                address = address.replace(f"{{{name}}}", value)
            made[address.replace("{path:path}", "x").replace("{", "").replace("}", "")] = None
    for values in planted.values():
        made[f"/v2/runs?includeOutput=true&functionId={values['function_id']}"] = None
        made["/events?internal=true"] = made["/v1/events?name=inngest/function.finished&limit=100"] = None
        made["/v1/events?name=inngest/function.invoked"] = made["/v1/events?name=inngest/function.failed"] = None
    return list(made)


def with_steps(bench: Bench, planted: Planted) -> list[str]:
    return [
        f"/runs/{run.id}?step={step}"
        for run in planted.runs
        for step in {*(each.id for each in bench.steps(run)), *(job.key for job in bench.jobs(run))}
    ]


def test_no_route_shows_what_is_masked_but_to_those_who_may_see_it(
    guarded: Guarded, bench: Bench, planted: Planted
) -> None:
    asked = [*addresses(bench, planted), *with_steps(bench, planted)]
    assert len(asked) > 100
    clients = {
        "viewer": guarded.browser("viewer"), "reader": guarded.program("read"), "sdk": guarded.sdk(),
        "operator": guarded.browser("operator"), "admin": guarded.browser("admin"),
    }  # fmt: skip
    seen: dict[str, set[str]] = {name: set() for name in clients}
    for address in asked:
        for name, client in clients.items():
            answer = client.get(address)
            assert answer.status_code < 500 or answer.status_code == 501, address
            found = leaks(answer.text)
            seen[name] |= set(found)
            assert not found or name in ("operator", "admin"), (name, address, found)
    assert seen["operator"] == {EMAIL}
    assert seen["admin"] == {*MASKED, "planted-user"}, "what an admin may see is there to be seen"


def test_no_field_of_graphql_shows_what_is_masked(guarded: Guarded, bench: Bench, planted: Planted) -> None:
    viewer, admin = guarded.browser("viewer"), guarded.browser("admin")
    seen: set[str] = set()
    for root, query in queries(planted):
        for client in (viewer, admin):
            answer = client.post("/v0/gql", json={"query": query})
            assert answer.status_code == 200, answer.text
            told = answer.json()
            assert told.get("data") or root == "workerConnection", (root, told, query)
            found = leaks(json.dumps(told, ensure_ascii=False))
            assert client is admin or not found, (root, found)
            seen |= set(found)
    outputs = set()
    for query in traces(planted):
        for client in (viewer, admin):
            for output_id in output_ids(client.post("/v0/gql", json={"query": query}).json()):
                one = (
                    f'{{ runTraceSpanOutputByID(outputID: "{output_id}") {{ data input error {{ message stack }} }} }}'
                )
                found = leaks(client.post("/v0/gql", json={"query": one}).text)
                assert client is admin or not found, found
                outputs |= set(found)
    assert {*MASKED, "planted-user"} <= seen
    assert {TOKEN, WHY, EMAIL} <= outputs


ARGUMENTS = {
    "app": ['id: "{app_uuid}"'],
    "stream": ["query: {limit: 100, includeInternalEvents: true}"],
    "event": ['query: {eventId: "{event_id}"}'],
    "events": ["query: {}"],
    "eventV2": ['id: "{event_id}"'],
    "eventsV2": ['filter: {from: "2000-01-01T00:00:00Z", includeInternalEvents: true}'],
    "functionBySlug": ['query: {functionSlug: "{function_id}"}'],
    "functionRun": ['query: {functionRunId: "{run_id}"}'],
    "runs": ['orderBy: [], filter: {from: "2000-01-01T00:00:00Z"}'],
    "run": ['runID: "{run_id}"'],
    "runTraceSpanOutputByID": [],
    "runTrigger": ['runID: "{run_id}"'],
    "runTrace": ['runID: "{run_id}"'],
    "workerConnections": ['orderBy: [], filter: {from: "2000-01-01T00:00:00Z"}'],
    "workerConnection": ['connectionId: "01HF7YAT000000000000000001"'],
    "apps": [""],
    "functions": [""],
}


def queries(planted: Planted) -> Iterator[tuple[str, str]]:
    """Ask for every field of every query; a query that is not in the table fails."""
    built = graphql_schema._schema
    assert built.query_type is not None
    from inngest_celery import ids

    for name, field in built.query_type.fields.items():
        for text in ARGUMENTS[name]:
            made: dict[str, None] = {}
            for values in planted.values():
                given = text.replace("{app_uuid}", ids.app_uuid("app"))
                for key in ("event_id", "run_id", "function_id"):
                    given = given.replace(f"{{{key}}}", values[key])
                arguments = f"({given})" if given else ""
                made[f"{{ {name}{arguments} {selection(field.type, (), 4)} }}"] = None
            for query in made:
                yield name, query


def selection(kind: Any, above: tuple[str, ...], depth: int) -> str:
    """Select all there is, but nothing within itself."""
    named = graphql.get_named_type(kind)
    if isinstance(named, graphql.GraphQLUnionType):
        return "{ " + " ".join(f"... on {each.name} {selection(each, above, depth)}" for each in named.types) + " }"
    if not isinstance(named, graphql.GraphQLObjectType):
        return ""
    parts = ["__typename"]
    for name, field in named.fields.items():
        if any(graphql.is_required_argument(argument) for argument in field.args.values()):
            continue
        inner = graphql.get_named_type(field.type)
        if isinstance(inner, graphql.GraphQLScalarType | graphql.GraphQLEnumType):
            parts.append(name)
        elif inner.name not in above and depth and inner.name != named.name:
            below = selection(field.type, (*above, named.name), depth - 1)
            # Fields of the same name in a union may differ in whether they can be null.
            parts.append(f"{name} {below}")
    return "{ " + " ".join(parts) + " }"


def traces(planted: Planted) -> Iterator[str]:
    for run in planted.runs:
        below = "outputID childrenSpans { outputID childrenSpans { outputID } }"
        yield f'{{ runTrace(runID: "{run.id}") {{ {below} }} }}'


def output_ids(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        if told.get("outputID"):
            yield told["outputID"]
        told = list(told.values())
    if isinstance(told, list):
        for each in told:
            yield from output_ids(each)


def test_no_tool_shows_what_is_masked(guarded: Guarded, bench: Bench, planted: Planted) -> None:
    reader, boss = guarded.program("read"), guarded.program("admin")
    seen: set[str] = set()
    tools = call(reader, "tools/list", {})["tools"]
    reading = [tool for tool in tools if tool["annotations"]["readOnlyHint"]]
    assert len(reading) > 12
    for tool in reading:
        for values in planted.values():
            known = {
                "runId": values["run_id"], "runIds": [values["run_id"]], "eventId": values["event_id"],
                "functionId": values["function_id"], "appId": "app", "includeOutput": True, "timeout": 0,
                "pattern": "x", "path": "overview",
            }  # fmt: skip
            properties = tool["inputSchema"]["properties"]
            arguments = {name: value for name, value in known.items() if name in properties}
            if tool["name"] == "list_runs":
                arguments["functionId"] = [values["function_id"]]
            for client in (reader, boss):
                told = json.dumps(call(client, "tools/call", {"name": tool["name"], "arguments": arguments}))
                found = leaks(told)
                assert client is boss or not found, (tool["name"], found)
                seen |= set(found)
    assert {TOKEN, EMAIL, WHY} <= seen


def call(client: httpx.Client, method: str, params: dict[str, Any]) -> Any:
    headers = {"Accept": "application/json, text/event-stream"}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = client.post("/mcp", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def test_who_may_not_see_it_cannot_search_for_it(guarded: Guarded, bench: Bench, planted: Planted) -> None:
    def found(client: httpx.Client, where: str) -> int:
        return client.get("/runs", params={"where": where}).text.count('name="run"')

    viewer, operator, admin = (guarded.browser(role) for role in ("viewer", "operator", "admin"))
    for where, at_least in (
        (f'event.data.code == "{CODE}"', "admin"),
        (f'event.data.code.startsWith("{CODE[:4]}")', "admin"),
        (f"event.data.card == {CARD}", "admin"),
        (f'output.token == "{TOKEN}"', "admin"),
        (f'event.data.list[0] == "{EMAIL}"', "operator"),
        (f'error.message.contains("{WHY}")', "admin"),
    ):
        assert found(viewer, where) == 0, where
        assert (found(operator, where) > 0) == (at_least == "operator"), where
        assert found(admin, where) > 0, where
        wanted = f'from: "2000-01-01T00:00:00Z", query: {json.dumps(where)}'
        query = f"{{ runs(orderBy: [], filter: {{{wanted}}}) {{ edges {{ cursor }} }} }}"
        edges = [c.post("/v0/gql", json={"query": query}).json()["data"]["runs"]["edges"] for c in (viewer, admin)]
        assert (len(edges[0]), len(edges[1]) > 0) == (0, True), where
    assert found(viewer, 'event.data.code == "[masked]"') > 0


def test_functions_on_other_sdks_get_what_is_stored(guarded: Guarded, bench: Bench, planted: Planted) -> None:
    sdk, run = guarded.sdk(), planted.runs[0]
    assert TOKEN in sdk.get(f"/v0/runs/{run.id}/actions").text
    assert CODE in sdk.get(f"/v0/runs/{run.id}/batch").text


def test_an_app_sees_in_the_apis_what_operators_see_where_the_settings_say_so(
    guarded: Guarded, bench: Bench, planted: Planted
) -> None:
    sdk, address = guarded.sdk(), f"/v1/events/{planted.runs[0].event_id}"
    assert leaks(sdk.get(address).text) == []
    runtime = runtime_of(bench.app)
    runtime.__dict__["settings"] = runtime.settings.model_copy(update={"masking_reveal_to_apps": True})
    assert leaks(sdk.get(address).text) == [EMAIL]
