"""``/mcp`` with the official SDK's own client, against a served app."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, cast

import httpx2
import pytest
from mcp import types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

import inngest_celery as inngest
from inngest_celery.drivers.http.signing import bearer_of
from inngest_celery.server.mcp import acting
from inngest_celery.server.options import Options
from inngest_celery.store.rows import RunStatus
from tests.functions.bench import Bench
from tests.server.stage import Stage, staged

pytestmark = pytest.mark.databases("sqlite")

KEY = "signkey-prod-" + "0123456789abcdef" * 4
OFFICIAL = {
    *("send_event", "get_run_status", "poll_run_status", "invoke_function_sync", "grep_docs", "read_doc", "list_docs"),
    *("health", "get_run", "list_runs", "list_function_runs", "get_event_runs", "rerun", "cancel_run", "get_app"),
    *("get_apps", "get_function", "list_functions", "get_run_trace", "invoke_function"),
}
Use = Callable[["Tools"], Coroutine[Any, Any, None]]


class Tools:
    """The tools of a server."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def __call__(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool that does not refuse; give what it tells."""
        result = await self.client.call_tool(name, arguments)
        assert not result.is_error, result
        return json.loads(_text(result))

    async def refused(self, name: str, /, **arguments: Any) -> str:
        """Call a tool that refuses; give what it says."""
        result = await self.client.call_tool(name, arguments)
        assert result.is_error, result
        return _text(result)


def _text(result: types.CallToolResult) -> str:
    [content] = result.content
    assert isinstance(content, types.TextContent)
    return content.text


def use(url: str, using: Use, mode: str = "auto") -> None:
    async def connect() -> None:
        async with Client(f"{url}/mcp", mode=mode) as client:
            await using(Tools(client))

    asyncio.run(connect())


@pytest.fixture(autouse=True)
def functions(bench: Bench) -> None:
    @bench.function("double", trigger=inngest.TriggerEvent(event="shop/double"), retries=0)
    def double(ctx: inngest.ContextSync) -> int:
        return int(ctx.step.run("one", lambda: ctx.event.data["n"] * 2))

    @bench.function("nap", trigger=inngest.TriggerEvent(event="shop/nap"))
    def nap(ctx: inngest.ContextSync) -> str:
        ctx.step.sleep("night", timedelta(hours=8))
        return "rested"


@contextmanager
def working(stage: Stage) -> Iterator[None]:
    """Do what is due meanwhile."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.01):
            stage.drain()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(30)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_every_client_finds_the_tools(stage: Stage, mode: str) -> None:
    async def using(tools: Tools) -> None:
        listed = {each.name: each for each in (await tools.client.list_tools()).tools}
        assert listed.keys() == {*OFFICIAL, "why", "replay", "cancel", "get_run_report"}
        for each in listed.values():
            assert len(each.description or "") > 25, each.name
            assert each.input_schema["type"] == "object"
            assert "$ref" not in str(each.input_schema), each.name
        assert listed["list_runs"].annotations == types.ToolAnnotations(
            read_only_hint=True, destructive_hint=False, open_world_hint=False
        )
        assert set(listed["get_function"].input_schema["required"]) == {"appId", "functionId"}
        assert "fromStep" in listed["rerun"].input_schema["properties"]
        assert await tools("health") == {"status": "ok"}
        assert stage.http.get("/mcp", headers={"Accept": "text/event-stream"}).status_code == 405

    use(stage.url, using, mode)


def test_a_model_sends_and_looks(stage: Stage) -> None:
    async def using(tools: Tools) -> None:
        sent = await tools("send_event", name="shop/double", data={"n": 2}, eventIdSeed="once")
        await tools("send_event", name="shop/double", data={"n": 2}, eventIdSeed="once")
        await asyncio.to_thread(stage.drain)
        told = await tools("get_event_runs", eventId=sent["eventId"])
        [run] = told["data"]
        assert (run["output"], run["status"]) == (4, "COMPLETED")
        assert (await tools("get_run_status", runId=sent["eventId"]))["output"] == 4
        assert (await tools("get_run", runId=run["id"]))["output"] == 4
        assert [span["name"] for span in (await tools("get_run_trace", runId=run["id"]))["children"]] == ["one"]
        listed = await tools("list_runs", status=["COMPLETED"], limit=1, includeOutput=True)
        assert ([each["id"] for each in listed["data"]], listed["page"]["hasMore"]) == ([run["id"]], False)
        again = await tools("rerun", runId=run["id"])
        polled = await tools("poll_run_status", runIds=[run["id"], again["runId"], "nothing"], timeout=0)
        assert (polled["allEnded"], polled["unknown"]) == (False, ["nothing"])
        assert [each["ended"] for each in polled["runs"]] == [True, False]

    use(stage.url, using)


def test_a_model_calls_and_waits(stage: Stage) -> None:
    async def using(tools: Tools) -> None:
        with working(stage):
            called = await tools("invoke_function_sync", functionId="app-double", data={"n": 3})
            assert (called["status"], called["output"]) == ("COMPLETED", 6)
            failed = await tools("invoke_function_sync", functionId="app-double", data={"n": None})
            assert (failed["status"], failed["error"]["name"]) == ("FAILED", "TypeError")
            asleep = await tools("invoke_function_sync", functionId="app-nap", timeout=0.3)
        assert asleep["ended"] is False
        [reason] = (await tools("why", runId=asleep["runId"]))["reasons"]
        assert (reason["code"], reason["step"]) == ("sleeping", "night")
        assert reason["nextAt"].endswith("Z")
        assert (await tools("cancel_run", runId=asleep["runId"]))["status"] == "CANCELLED"
        assert "(run_already_cancelled)" in await tools.refused("cancel_run", runId=asleep["runId"])

    use(stage.url, using)


def test_a_model_acts_on_many(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = stage.bench
    runs = [stage.start("shop/nap", n=number).id for number in range(3)]
    for _ in range(2):
        stage.start("shop/double", n=None)
        bench.advance(seconds=1)

    async def using(tools: Tools) -> None:
        chosen: dict[str, Any] = {"functionId": ["app-nap"], "where": "event.data.n > 0"}
        counted = await tools("cancel", **chosen)
        assert (counted["dryRun"], counted["chosen"]) == (True, 2)
        assert (await tools("cancel", **chosen, dryRun=False, reason="asked"))["cancelled"] == 2
        assert (await tools("cancel", runIds=runs, dryRun=False))["cancelled"] == 1
        assert bench.inline.runs.get(runs[1]).reason == "asked"
        assert (await tools("replay", appId=["app"]))["chosen"] == 2
        # Time is up after the first slice; what is there is one.
        monkeypatch.setattr(acting, "_LONGEST_S", -1)
        begun = await tools("replay", appId=["app"], dryRun=False)
        assert (begun["started"], begun["complete"]) == (2, False)
        monkeypatch.undo()
        ended = await tools("replay", appId=["app"], dryRun=False, replayId=begun["replayId"])
        assert (ended["started"], ended["startedBefore"], ended["complete"]) == (0, 2, True)

    use(stage.url, using)
    assert len(bench.inline.runs.list(function_id="app-double")) == 4


def test_what_is_refused_teaches(stage: Stage) -> None:
    async def using(tools: Tools) -> None:
        for said, name, arguments in (
            ("(run_not_found)", "get_run_status", {"runId": "nothing"}),
            ("(run_not_found)", "why", {"runId": "nothing"}),
            ("(not_found)", "get_function", {"appId": "app", "functionId": "nothing"}),
            ("(invalid_id)", "get_run", {"runId": "nothing"}),
            ("(invalid_request)", "list_runs", {"limit": 0}),
            ("(event_name_invalid)", "send_event", {"name": ""}),
            ("(function_not_found)", "invoke_function_sync", {"functionId": "nothing"}),
            ("runId", "get_run_status", {"run": "nothing"}),
            ("there is no argument run; runId is missing (arguments_invalid)", "get_run", {"run": "nothing"}),
            ("(runs_not_chosen)", "cancel", {"dryRun": False}),
            ("(runs_not_chosen)", "replay", {"dryRun": False, "where": " "}),
            ("(expression_invalid)", "replay", {"where": "event.data.n ==", "dryRun": False}),
            ("(replay_id_invalid)", "replay", {"status": ["FAILED"], "replayId": "mine", "dryRun": False}),
            ("(app_not_found)", "cancel", {"appId": ["ap"], "dryRun": False}),
            ("(doc_not_found)", "read_doc", {"path": "../../etc/passwd"}),
            ("(pattern_invalid)", "grep_docs", {"pattern": "("}),
            ("There are: send_event", "send_events", {}),
        ):
            assert said in await tools.refused(name, **cast("dict[str, Any]", arguments)), name

    use(stage.url, using)
    assert stage.bench.inline.runs.list() == []


def test_a_model_reads_the_documentation(stage: Stage) -> None:
    async def using(tools: Tools) -> None:
        paths = [each["path"] for each in (await tools("list_docs"))["docs"]]
        assert paths[0] == "overview"
        assert "flow-control" in paths
        assert "| `throttle` |" in (await tools("read_doc", path="flow-control"))["text"]
        found = await tools("grep_docs", pattern="durable  ?functions", limit=1)
        assert found["matches"][0]["path"] == "overview"

    use(stage.url, using)


def test_a_server_starts_without_what_only_mcp_takes() -> None:
    code = "import inngest_celery.server.application, sys; sys.exit('mcp' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "send_event", "arguments": {"name": "a/b"}},
}
HEADERS = {"Accept": "application/json, text/event-stream"}


def test_no_page_of_somebody_else_gets_in(stage: Stage) -> None:
    def status(**headers: str) -> int:
        return stage.http.post("/mcp", json=CALL, headers={**HEADERS, **headers}).status_code

    # A name of its own that leads here, and its own origin.
    assert [status(Host=name) for name in ("shop.example:8288", "127.0.0.1.shop.example")] == [401, 401]
    assert [status(Origin=origin) for origin in ("https://shop.example", "null")] == [403, 403]
    assert stage.http.get("/v1/events").json()["data"] == []
    assert status() == 200
    assert status(Host="localhost:8288", Origin="http://localhost:3000") == 403
    stage.drain()
    assert len(stage.http.get("/v1/events").json()["data"]) == 1


def test_a_server_with_a_key_asks_for_it(database_url: str) -> None:
    bench = Bench(database_url, inngest_signing_key=KEY)
    bench.function("nap")(lambda ctx: "rested")
    with staged(bench, Options(development=False, discovery=False, poll_interval=0)) as stage:
        for token in ({}, {"Authorization": "Bearer nothing"}):
            answer = stage.http.post("/mcp", json=CALL, headers={**HEADERS, **token})
            assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")

        @asynccontextmanager
        async def transport() -> AsyncIterator[Any]:
            right = {"Authorization": f"Bearer {bearer_of(KEY)}"}
            async with (
                httpx2.AsyncClient(headers=right) as http,
                streamable_http_client(f"{stage.url}/mcp", http_client=http) as streams,
            ):
                yield streams

        async def connect() -> None:
            async with Client(transport()) as client:
                run = await Tools(client)("invoke_function_sync", functionId="app-nap", timeout=0)
                # With the caller's right, which is asked for there, too.
                assert (await Tools(client)("list_runs"))["data"] == []
                assert run["ended"] is False

        asyncio.run(connect())
        stage.drain()
        assert [run.status for run in bench.inline.runs.list()] == [RunStatus.COMPLETED]
    bench.close()
