"""Apps that register: what changes, what does not, what is refused and leaves everything as it was."""

from __future__ import annotations

import json
from typing import Any

import httpx
import inngest as official
import pytest
from fastapi import FastAPI, Response
from inngest import fast_api

import inngest_celery as inngest
from inngest_celery import ids
from inngest_celery.server import syncing
from inngest_celery.server.errors import ApiError
from inngest_celery.server.options import Options
from inngest_celery.server.state import Server
from inngest_celery.store import apps, functions, schema
from inngest_celery.store.functions import FunctionRow
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.stage import Stage, staged
from tests.server.web import served
from tests.waiting import wait_until

URL = "http://localhost:9999/api/inngest"


def wire(fn_id: str = "fn", /, **options: Any) -> dict[str, Any]:
    """A function as an SDK registers it."""
    runtime = {"type": "http", "url": f"{URL}?fnId=shop-{fn_id}&stepId=step"}
    steps = {"step": {"id": "step", "name": "step", "runtime": runtime}}
    return {"id": f"shop-{fn_id}", "name": fn_id, "triggers": [{"event": "shop/a"}], "steps": steps, **options}


def registration(*given: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "appName": "shop",
        "deployType": "ping",
        "sdk": "js:v4.18.1",
        "url": URL,
        "v": "0.1",
        "functions": list(given),
        **fields,
    }


def register(stage: Stage, *given: dict[str, Any], **fields: Any) -> httpx.Response:
    return stage.http.post("/fn/register", json=registration(*given, **fields))


def stored(bench: Bench) -> dict[str, FunctionRow]:
    with bench.database.autocommit() as connection:
        return {row.id: row for row in functions.all_of(connection)}


def test_what_has_not_changed_is_not_stored_again(stage: Stage) -> None:
    first = register(stage, wire()).json()
    again = register(stage, wire(), featureObservations={"seen": 7}).json()
    changed = register(stage, wire(retries=2)).json()
    assert (first["ok"], first["modified"], first["app_id"]) == (True, True, ids.app_uuid("shop"))
    assert (again["modified"], changed["modified"]) == (False, True)
    assert stored(stage.bench)["shop-fn"].version == 2


def test_a_function_that_is_gone_starts_no_more_runs(stage: Stage) -> None:
    register(stage, wire("a"), wire("b"))
    register(stage, wire("a"))
    assert stored(stage.bench)["shop-b"].archived_at is not None
    stage.send("shop/a")
    assert stage.bench.inline.step()
    assert [run.function_id for run in stage.bench.rows(schema.run)] == ["shop-a"]
    # It comes back, and so do its triggers.
    register(stage, wire("a"), wire("b"))
    assert stored(stage.bench)["shop-b"].archived_at is None
    stage.bench.inline.runs.cancel(stage.bench.rows(schema.run)[0].id)
    stage.drain()


def test_one_address_however_it_is_written(stage: Stage) -> None:
    register(stage, wire(), url="http://127.0.0.1:9999/api/inngest?deployId=7&fnId=x")
    assert not register(stage, wire()).json()["modified"]
    config = json.loads(stored(stage.bench)["shop-fn"].config)
    assert config["steps"]["step"]["runtime"]["url"] == f"{URL}?fnId=shop-fn&stepId=step"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"triggers": [{"event": "a", "expression": "event.data.x =="}]}, "expression_invalid"),
        ({"triggers": [{"event": ""}]}, "event_name_invalid"),
        ({"triggers": [{"cron": "never"}]}, "schedule_invalid"),
        ({"triggers": [{"event": "a", "cron": "* * * * *"}]}, "config_invalid"),
        ({"triggers": [{"event": "a"}, {"event": "a"}]}, "config_invalid"),
        ({"triggers": [{"event": f"a{number}"} for number in range(11)]}, "config_invalid"),
        ({"name": ""}, "config_invalid"),
        ({"steps": {}}, "config_invalid"),
        ({"steps": {"step": {"id": "step", "name": "step", "runtime": {"url": "ftp://x"}}}}, "url_invalid"),
        ({"concurrency": {"limit": -1}}, "concurrency_limit_invalid"),
        ({"concurrency": [{"limit": 1, "scope": "account"}]}, "config_invalid"),
        ({"throttle": {"limit": 1, "period": "soon"}}, "config_invalid"),
        ({"rateLimit": {"limit": 1, "period": "2d"}}, "config_invalid"),
        ({"batchEvents": {"maxSize": 1, "timeout": "1s"}}, "batch_size_invalid"),
        ({"batchEvents": {"maxSize": 5, "timeout": "1s"}, "cancel": [{"event": "b"}]}, "combo_unsupported"),
        ({"batchEvents": {"maxSize": 5, "timeout": "1s", "if": "&&"}}, "batch_if_expression_invalid"),
        ({"cancel": [{"event": "b", "if": "event.data.all(x, x)"}]}, "expression_not_allowed"),
        ({"retries": 21}, "config_invalid"),
        ({"id": "x" * 300}, "config_invalid"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_code(stage: Stage, options: dict[str, Any], code: str) -> None:
    register(stage, wire("good"))
    answer = register(stage, wire("good", retries=3), wire("bad", **options))
    assert (answer.status_code, answer.json()["code"]) == (400, "config_invalid")
    assert code in {problem["code"] for problem in answer.json()["data"]["errors"]}, answer.text
    # Nothing of it is there, but what was wrong.
    assert list(stored(stage.bench)) == ["shop-good"]
    assert stored(stage.bench)["shop-good"].version == 1
    with stage.bench.database.autocommit() as connection:
        app = apps.get(connection, "shop")
    assert app is not None
    assert app.error
    # And the former state comes back as a change.
    assert register(stage, wire("good")).json()["modified"]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"appName": ""}, "config_invalid"),
        ({"functions": "none"}, "config_invalid"),
        ({"url": "no address"}, "url_invalid"),
        ({"sdk": "js:v3.30.0"}, "sdk_version_denied"),
    ],
)
def test_a_registration_that_is_none_is_refused(stage: Stage, fields: dict[str, Any], code: str) -> None:
    answer = register(stage, wire(), **fields)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert stage.bench.rows(schema.function) == []


@pytest.mark.databases("sqlite")
def test_a_server_of_the_wrong_kind_says_so(stage: Stage) -> None:
    headers = {"x-inngest-expected-server-kind": "cloud"}
    answer = stage.http.post("/fn/register", json=registration(wire()), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "server_kind_mismatch")
    assert answer.headers["x-inngest-server-kind"] == "dev"


@pytest.mark.databases("sqlite")
def test_a_function_of_python_code_is_not_taken_over(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> None:
        pass

    with staged(bench) as stage:
        answer = register(stage, {**wire(), "id": "app-fn"}, appName="app")
        assert (answer.status_code, answer.json()["code"]) == (400, "config_invalid")
        assert stored(bench)["app-fn"].task_name == "app/fn"


def test_an_app_can_be_removed(stage: Stage) -> None:
    register(stage, wire())
    assert stage.http.delete("/fn/remove", params={"url": URL}).json() == {"ok": True}
    assert stored(stage.bench)["shop-fn"].archived_at is not None
    assert stage.http.delete("/fn/remove", params={"url": URL}).status_code == 404
    assert register(stage, wire()).json()["modified"]
    assert stored(stage.bench)["shop-fn"].archived_at is None


@pytest.mark.databases("sqlite")
def test_dev_tells_what_is_registered(stage: Stage) -> None:
    register(stage, wire())
    told = stage.http.get("/dev").json()
    assert [function["id"] for function in told["functions"]] == ["shop-fn"]
    assert told["handlers"][0]["sdk"]["url"] == URL


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Response("<html>", media_type="text/html"), "not_sdk"),
        (Response(status_code=404), "url_not_found"),
        (Response(status_code=401), "unauthorized"),
        (Response(status_code=500), "internal_server_error"),
        (Response('{"code": "no_functions", "message": "none"}', 500), "no_functions"),
    ],
)
def test_an_app_that_cannot_be_synchronised_says_why(bench: Bench, answer: Response, code: str) -> None:
    app = FastAPI()
    app.put("/api/inngest")(lambda: answer)
    server = Server(runtime_of(bench.app), Options())
    with served(app) as origin, pytest.raises(ApiError) as caught:
        syncing.sync(server, f"{origin}/api/inngest")
    assert caught.value.code == code


@pytest.mark.databases("sqlite")
def test_an_app_that_is_not_there_says_so(bench: Bench) -> None:
    with pytest.raises(ApiError) as caught:
        syncing.sync(Server(runtime_of(bench.app), Options()), "http://localhost:9/api/inngest")
    assert caught.value.code == "unreachable"


@pytest.mark.databases("sqlite")
def test_apps_are_asked_to_register_and_found_again_when_they_change(bench: Bench) -> None:
    app = FastAPI()
    with served(app) as origin:
        options = Options(sdk_urls=(f"{origin}/api/inngest",), discovery=False, poll_interval=0.05)
        with staged(bench, options) as stage:
            client = stage.client("late")

            @client.create_function(fn_id="fn", trigger=official.TriggerEvent(event="late/a"))
            async def fn(ctx: official.Context) -> None:
                pass

            fast_api.serve(app, client, [fn])
            wait_until(lambda: "late-fn" in stored(bench), 20, "the registration")
