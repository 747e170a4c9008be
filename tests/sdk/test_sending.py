"""Sending events: what is refused at the door, and what a server sees."""

from __future__ import annotations

import contextvars
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import inngest as official
import pytest

import inngest_celery as inngest
from inngest_celery import ids
from inngest_celery.sdk.sending import MAX_EVENT_BYTES, check_events
from tests.sdk import event_server
from tests.sdk.event_server import EventServer

ORDER = inngest.Event(name="shop/order.placed", data={"order": 7})
ACCEPTED = (200, json.dumps({"ids": ["01A"], "status": 200}))


@pytest.fixture
def server() -> Iterator[EventServer]:
    with event_server.running() as server:
        server.answers = [ACCEPTED]
        yield server


@pytest.fixture
def sender(server: EventServer) -> inngest.Inngest:
    return inngest.Inngest(app_id="shop", event_api_base_url=server.url, event_key="key", env="staging")


REFUSED: list[tuple[inngest.Event, str, str, str]] = [
    (inngest.Event(name=""), "name", "event_name_invalid", "empty"),
    (inngest.Event(name="  "), "name", "event_name_invalid", "empty"),
    (inngest.Event(name="e" * 513), "name", "event_name_invalid", "512"),
    (inngest.Event(name="inngest/function.failed"), "name", "event_name_invalid", "reserved"),
    (inngest.Event(name="INNGEST/x"), "name", "event_name_invalid", "reserved"),
    (inngest.Event(name="e", data={"when": [{1, 2}]}), "data", "event_invalid", "a set at $.when[0]"),
    (inngest.Event(name="e", data={"n": float("nan")}), "data", "event_invalid", "nan at $.n"),
    (inngest.Event(name="e", data={"s": "\ud800"}), "data", "event_invalid", "surrogate"),
    (inngest.Event(name="e", data={"s": "x" * MAX_EVENT_BYTES}), "data", "event_invalid", "send a reference"),
    (inngest.Event(name="e", ts=1), "ts", "event_invalid", "1980 and 2100"),
    (inngest.Event(name="e", ts=-1), "ts", "event_invalid", "1980 and 2100"),
    (inngest.Event(name="e", ts=4_133_980_800_000), "ts", "event_invalid", "1980 and 2100"),
]


@pytest.mark.parametrize(("event", "field", "code", "words"), REFUSED)
def test_one_bad_event_refuses_all(
    event: inngest.Event, field: str, code: str, words: str, sender: inngest.Inngest, server: EventServer
) -> None:
    with pytest.raises(inngest.EventInvalidError) as caught:
        sender.send_sync([ORDER, event, ORDER])
    assert (caught.value.index, caught.value.field, caught.value.code) == (1, field, code)
    assert str(caught.value).startswith(f"events[1].{field}: ")
    assert words in str(caught.value)
    assert server.requests == []


def test_at_most_5000_events() -> None:
    check_events([ORDER] * 5000)
    with pytest.raises(inngest.EventInvalidError, match="at most 5000"):
        check_events([ORDER] * 5001)


@pytest.mark.parametrize(
    "event",
    [
        inngest.Event(name="e" * 512),
        inngest.Event(name="inngest-like/x"),
        inngest.Event(name="e", ts=315_532_800_000, data={"a": (1, None), "b": {"c": "ü"}}),
        inngest.Event(name="e", ts=4_133_980_799_999),
    ],
)
def test_good_events(event: inngest.Event) -> None:
    check_events([event])


def test_what_the_server_sees(sender: inngest.Inngest, server: EventServer) -> None:
    before = time.time_ns() // 1_000_000
    assert sender.send_sync(ORDER) == ["01A"]
    (request,) = server.requests
    assert request.path == "/e/key"
    (event,) = request.body
    assert event.pop("ts") >= before
    assert event == {"name": "shop/order.placed", "data": {"order": 7}}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-inngest-env"] == "staging"
    seed = request.headers["x-inngest-event-id-seed"]
    assert ids.time_of(ids.from_seed(seed, 0) or "") >= before


def test_id_and_time_are_kept(sender: inngest.Inngest, server: EventServer) -> None:
    sender.send_sync([inngest.Event(name="e", id="once", ts=1_700_000_000_000), inngest.Event(name="e")])
    first, second = server.requests[0].body
    assert (first["id"], first["ts"]) == ("once", 1_700_000_000_000)
    assert "id" not in second


@pytest.mark.anyio
async def test_async(sender: inngest.Inngest, server: EventServer) -> None:
    assert await sender.send([ORDER]) == ["01A"]


def test_the_official_client_sends_the_same(sender: inngest.Inngest, server: EventServer) -> None:
    theirs = official.Inngest(app_id="shop", event_api_base_url=server.url, event_key="key", env="staging")
    theirs.send_sync(official.Event(name="e", data={"a": 1}, id="x", ts=1_700_000_000_000))
    sender.send_sync(inngest.Event(name="e", data={"a": 1}, id="x", ts=1_700_000_000_000))
    first, second = server.requests
    assert (first.path, first.body) == (second.path, second.body)
    assert first.headers["x-inngest-event-id-seed"].count(",") == second.headers["x-inngest-event-id-seed"].count(",")


@pytest.mark.parametrize("failure", [(500, "{}"), (503, "busy"), None])
def test_a_failing_server_is_tried_again_under_the_same_seed(
    failure: tuple[int, str] | None, sender: inngest.Inngest, server: EventServer
) -> None:
    server.answers = [failure, failure, ACCEPTED]
    assert sender.send_sync(ORDER) == ["01A"]
    seeds = {request.headers["x-inngest-event-id-seed"] for request in server.requests}
    assert (len(server.requests), len(seeds)) == (3, 1)
    assert server.requests[0].body == server.requests[2].body


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr("inngest_celery.sdk.sending.time.sleep", pauses.append)
    return pauses


def test_five_attempts_without_an_answer(sender: inngest.Inngest, server: EventServer, no_pauses: list[float]) -> None:
    server.answers = [None]
    with pytest.raises(inngest.SendEventsError, match="never received response") as caught:
        sender.send_sync(ORDER)
    assert caught.value.ids == []
    assert len(server.requests) == 5
    assert all(0.1 * 2**n <= pause <= 0.1 * 2**n + 0.1 for n, pause in enumerate(no_pauses))
    assert len(no_pauses) == 4


def test_five_attempts_with_a_server_error(
    sender: inngest.Inngest, server: EventServer, no_pauses: list[float]
) -> None:
    server.answers = [(500, "{}")]
    with pytest.raises(inngest.SendEventsError, match="status 500"):
        sender.send_sync(ORDER)
    assert len(server.requests) == 5


def test_nobody_there(no_pauses: list[float]) -> None:
    client = inngest.Inngest(app_id="shop", event_api_base_url="http://127.0.0.1:9", is_production=False)
    with pytest.raises(inngest.SendEventsError, match="never received response"):
        client.send_sync(ORDER)


def test_a_partial_failure_keeps_the_ids(sender: inngest.Inngest, server: EventServer) -> None:
    server.answers = [(400, json.dumps({"ids": ["01A"], "status": 400, "error": "bad name"}))]
    with pytest.raises(inngest.SendEventsError, match="bad name") as caught:
        sender.send_sync([ORDER, ORDER])
    assert caught.value.ids == ["01A"]
    assert len(server.requests) == 1


def test_an_empty_refusal_gives_no_ids_as_in_the_official_client(sender: inngest.Inngest, server: EventServer) -> None:
    server.answers = [(400, "{}")]
    assert sender.send_sync(ORDER) == []


@pytest.mark.parametrize("answer", ["<html>", "[]", ""])
def test_an_answer_that_is_no_event_apis(answer: str, sender: inngest.Inngest, server: EventServer) -> None:
    server.answers = [(200, answer)]
    with pytest.raises(inngest.SendEventsError, match="is this an event API"):
        sender.send_sync(ORDER)


def test_development_needs_no_key(server: EventServer) -> None:
    inngest.Inngest(app_id="shop", event_api_base_url=server.url, is_production=False).send_sync(ORDER)
    assert server.requests[0].path == "/e/NO_EVENT_KEY_SET"


def test_production_needs_a_key(server: EventServer) -> None:
    with pytest.raises(inngest.EventKeyUnspecifiedError, match="INNGEST_EVENT_KEY"):
        inngest.Inngest(app_id="shop", event_api_base_url=server.url).send_sync(ORDER)
    assert server.requests == []


def test_a_session_does_not_go_with_a_server(sender: inngest.Inngest, server: EventServer) -> None:
    with pytest.raises(inngest.SendEventsError, match="session= stores events in your transaction"):
        sender.send_sync(ORDER, session=object())
    assert server.requests == []


class Tags(inngest.MiddlewareSync):
    """Changes the list and its events, and remembers the result."""

    results: list[inngest.SendEventsResult] = []  # noqa: RUF012  shared on purpose

    def before_send_events(self, events: list[inngest.Event]) -> None:
        events[0].data = {**events[0].data, "tagged": True}
        events.append(inngest.Event(name="audit/sent"))

    def after_send_events(self, result: inngest.SendEventsResult) -> None:
        self.results.append(result)


def test_middleware_changes_what_is_sent(sender: inngest.Inngest, server: EventServer) -> None:
    sender.add_middleware(Tags)
    mine = [inngest.Event(name="e")]
    sender.send_sync(mine)
    first, second = server.requests[0].body
    assert first["data"] == {"tagged": True}
    assert second["name"] == "audit/sent"
    assert len(mine) == 1


def test_middleware_sees_refusals(sender: inngest.Inngest, server: EventServer) -> None:
    Tags.results.clear()
    sender.add_middleware(Tags)
    server.answers = [(400, json.dumps({"ids": [], "error": "no"}))]
    with pytest.raises(inngest.SendEventsError):
        sender.send_sync(inngest.Event(name="e"))
    assert [result.error for result in Tags.results] == ["no"]


def test_middleware_can_be_skipped(sender: inngest.Inngest, server: EventServer) -> None:
    sender.add_middleware(Tags)
    sender.send_sync(inngest.Event(name="e"), skip_middleware=True)
    assert len(server.requests[0].body) == 1


here: contextvars.ContextVar[str] = contextvars.ContextVar("here")


class Table:
    """Stands where our tables do: remembers who stored what, in which thread and context."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], object, bool, str]] = []

    def send(self, events: list[inngest.Event], *, session: object | None = None) -> list[str]:
        names = [event.name for event in events]
        self.calls.append((names, session, threading.current_thread() is threading.main_thread(), here.get("nowhere")))
        return [f"id-{name}" for name in names]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    table = Table()
    monkeypatch.setattr("inngest_celery.worker.outbox.outbox", lambda app: table)
    return table


def test_without_a_server_events_go_to_the_tables(client: inngest.Inngest, table: Table) -> None:
    assert client.send_sync([ORDER]) == ["id-shop/order.placed"]
    assert table.calls == [(["shop/order.placed"], None, True, "nowhere")]


@pytest.mark.anyio
async def test_async_code_is_not_held_up_and_its_context_goes_along(client: inngest.Inngest, table: Table) -> None:
    here.set("in the test")
    await client.send(ORDER)
    assert table.calls == [(["shop/order.placed"], None, False, "in the test")]


@pytest.mark.anyio
async def test_a_session_is_used_in_its_own_thread(client: inngest.Inngest, table: Table) -> None:
    session = object()
    await client.send(ORDER, session=session)
    assert table.calls[0][1:3] == (session, True)


@pytest.mark.anyio
async def test_an_async_session_runs_it_itself(client: inngest.Inngest, table: Table) -> None:
    class AsyncSession:
        async def run_sync(self, call: Any) -> Any:
            return call("its sync session")

    await client.send(ORDER, session=AsyncSession())
    assert table.calls[0][1] == "its sync session"


def test_an_async_session_cannot_be_used_by_sync_code(client: inngest.Inngest, table: Table) -> None:
    class AsyncSession:
        async def run_sync(self, call: Any) -> Any:
            return call("its sync session")

    with pytest.raises(inngest.AsyncUnsupportedError):
        client.send_sync(ORDER, session=AsyncSession())
    assert table.calls == []
