"""The event API as clients use it, and what it refuses, whole."""

from __future__ import annotations

import base64
import json
from typing import Any

import inngest as official
import pytest

import inngest_celery as inngest
from inngest_celery.server.options import Options
from inngest_celery.store import schema
from tests.functions.bench import Bench
from tests.server.stage import Stage, staged


@pytest.fixture(autouse=True)
def counted(bench: Bench) -> None:
    @bench.function(trigger=inngest.TriggerEvent(event="shop/*"))
    def fn(ctx: inngest.ContextSync) -> Any:
        return dict(ctx.event.data)


def test_one_event_and_many(stage: Stage) -> None:
    one = stage.http.post("/e/any", json={"name": "shop/a", "data": {"x": 1}})
    many = stage.http.post("/e/any", json=[{"name": "shop/b"}, {"name": "shop/c", "data": None, "user": {"id": 7}}])
    assert one.json()["status"] == many.json()["status"] == 200
    assert len({*one.json()["ids"], *many.json()["ids"]}) == 3
    stage.drain()
    assert len(stage.bench.rows(schema.run)) == 3
    [event] = stage.bench.events("shop/c")
    assert (event.data, json.loads(event.extra)) == ("{}", {"user": {"id": 7}})


def test_what_was_sent_twice_under_one_seed_starts_one_run_each(stage: Stage) -> None:
    seed = f"1700000000000,{base64.b64encode(bytes(10)).decode()}"
    events = [{"name": "shop/a"}, {"name": "shop/b"}]
    answers = []
    for _ in range(2):
        answers.append(stage.http.post("/e/any", json=events, headers={"x-inngest-event-id-seed": seed}).json())
        stage.drain()
    assert answers[0] == answers[1]
    one = stage.http.post("/e/any", json=events[0], headers={"x-inngest-event-id-seed": seed}).json()
    stage.drain()
    assert one["ids"] == answers[0]["ids"][:1]
    assert len(stage.bench.rows(schema.run)) == 2


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"data": {}}, "event name is empty"),
        ({"name": ""}, "event name is empty"),
        ({"name": "inngest/function.failed"}, "reserved"),
        ({"name": "INNGEST/x"}, "reserved"),
        ({"name": "shop/a", "data": [1]}, "data"),
        ({"name": "shop/a", "ts": "soon"}, "ts"),
        ({"name": "shop/a", "ts": 12}, "1980"),
        ({"name": "shop/a", "id": 7}, "id"),
        ({"name": "shop/a", "user": "me"}, "user"),
        ([{"name": "shop/a"}, "no object"], "events[1]"),
        ([{"name": "shop/a"}, {"name": "shop/b", "ts": -1}], "events[1]"),
        ([{"name": "shop/a"}] * 5001, "5000"),
        ({"name": "shop/a", "data": {"x": "y" * 3 * 1024 * 1024}}, "bytes"),
    ],
)
def test_what_cannot_be_taken_is_refused_whole(stage: Stage, body: Any, told: str) -> None:
    answer = stage.http.post("/e/any", json=body)
    assert answer.status_code == 400
    assert told in answer.json()["error"]
    assert answer.json()["ids"] == []
    assert stage.bench.rows(schema.event) == []


@pytest.mark.databases("sqlite")
def test_what_is_no_json_is_refused(stage: Stage) -> None:
    answer = stage.http.post("/e/any", content=b"{")
    assert (answer.status_code, answer.json()["code"]) == (400, "body_invalid")


@pytest.mark.databases("sqlite")
def test_a_form_is_an_event(stage: Stage) -> None:
    assert stage.http.post("/e/any", data={"name": "shop/form", "color": ["red", "blue"]}).status_code == 200
    stage.drain()
    [event] = stage.bench.events("shop/form")
    assert json.loads(event.data) == {"color": ["red", "blue"]}


@pytest.mark.databases("sqlite")
def test_any_page_may_send(stage: Stage) -> None:
    answer = stage.http.options(
        "/e/any", headers={"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}
    )
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.databases("sqlite")
def test_only_known_keys_may_send_where_keys_are_set(bench: Bench) -> None:
    options = Options(development=False, discovery=False, poll_interval=0, event_keys=frozenset({"secret"}))
    with staged(bench, options) as stage:
        refused = stage.http.post("/e/other", json={"name": "shop/a"})
        assert (refused.status_code, refused.json()["error"]) == (401, "Event key not found")
        assert stage.http.post("/e/secret", json={"name": "shop/a"}).status_code == 200
        stage.drain()


def test_a_function_is_called_whatever_triggers_it(stage: Stage) -> None:
    answer = stage.http.post("/invoke/app-fn", json={"data": {"x": 1}})
    assert answer.json()["status"] == 200
    stage.drain()
    [run] = stage.bench.inline.runs.of_event(answer.json()["id"])
    assert run.output["x"] == 1  # type: ignore[index]
    unknown = stage.http.post("/invoke/app-other", json={"data": {}})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


def test_the_official_client_sends(stage: Stage) -> None:
    client = stage.client()
    ids = client.send_sync([official.Event(name="shop/a", data={"n": n}) for n in range(3)])
    stage.drain()
    assert [run.output for event_id in ids for run in stage.bench.inline.runs.of_event(event_id)] == [
        {"n": 0}, {"n": 1}, {"n": 2},
    ]  # fmt: skip


@pytest.mark.databases("sqlite")
def test_an_environment_that_is_named_is_taken_and_said_again(stage: Stage) -> None:
    headers = {"x-inngest-env": "feature/x"}
    answer = stage.http.post("/e/key", json={"name": "shop/a"}, headers=headers)
    assert (answer.status_code, answer.headers["x-inngest-env"]) == (200, "feature/x")
    for path in ("/v1/events", "/v2/runs", "/dev", "/nowhere"):
        assert stage.http.get(path, headers=headers).headers["x-inngest-env"] == "feature/x"
    # It is one environment.
    assert len(stage.http.get("/v1/events").json()["data"]) == 1
    assert "x-inngest-env" not in stage.http.get("/v1/events").headers
    stage.drain()
