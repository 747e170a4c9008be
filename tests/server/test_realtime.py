"""Realtime: official SDKs and HTTP publish, WebSockets and server-sent events listen; and who is not let in."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import inngest as official
import jwt
import pytest
from inngest.experimental import realtime
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

import inngest_celery as inngest
from inngest_celery.cli.serving import serving
from inngest_celery.experimental import realtime as ours
from inngest_celery.server.options import Options
from tests.functions.bench import Bench
from tests.server.stage import QUIET, Stage, staged

pytestmark = pytest.mark.databases("sqlite")

KEY = "signkey-test-" + "0f" * 16
CLOUD = Options(development=False, discovery=False, poll_interval=0)


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(database_url, inngest_signing_key=KEY)
    yield bench
    bench.close()


@pytest.fixture
def stage(bench: Bench) -> Iterator[Stage]:
    with staged(bench, CLOUD) as stage:
        stage.http.headers["authorization"] = f"Bearer {KEY}"
        yield stage


def token(stage: Stage, channel: str = "c", *topics: str) -> str:
    wanted = [{"kind": "run", "channel": channel, "name": topic} for topic in topics or ("t",)]
    answer = stage.http.post("/v1/realtime/token", json=wanted)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["jwt"])


def listening(stage: Stage, given: str, *, as_header: bool = False) -> ClientConnection:
    url = stage.url.replace("http", "ws", 1) + "/v1/realtime/connect"
    if as_header:
        return connect_websocket(url, additional_headers={"Authorization": f"Bearer {given}"})
    return connect_websocket(f"{url}?{urlencode({'token': given})}")


def publish(stage: Stage, data: Any, channel: str = "c", topic: str = "t", **query: str) -> httpx.Response:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    query = {"channel": channel, "topic": topic, **query}
    return stage.http.post("/v1/realtime/publish", params=query, content=body)


def next_of(connection: ClientConnection) -> Any:
    return json.loads(connection.recv(timeout=30))


def until_end(connection: ClientConnection) -> list[Any]:
    """Give the messages of a stream."""
    heard = [next_of(connection)]
    while heard[-1]["kind"] != "datastream-end":
        heard.append(next_of(connection))
    return heard


def until_closed(connection: ClientConnection) -> Iterator[str]:
    """Give what comes until the other side closes."""
    try:
        while True:
            yield str(connection.recv(timeout=30))
    except ConnectionClosed:
        return


@contextmanager
def events_of(stage: Stage, given: str) -> Iterator[Iterator[Any]]:
    """Listen by server-sent events; gives the messages."""
    with stage.http.stream("GET", "/v1/realtime/sse", headers={"Authorization": f"Bearer {given}"}) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == ": listening"
        yield (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


def test_what_the_official_sdk_publishes_is_heard(stage: Stage) -> None:
    client = stage.client(is_production=True, signing_key=KEY)
    given: Any = realtime.get_subscription_token_sync(client, "user:1", ["news", "more"])
    with listening(stage, given["key"]) as socket, events_of(stage, token(stage, "user:1", "news")) as events:
        realtime.publish_sync(client, "user:1", "more", {"n": 0})
        realtime.publish_sync(client, "user:2", "news", {"n": 1})
        asyncio.run(realtime.publish(client, "user:1", "news", {"n": 2, "text": "ä\n😀"}))
        first, second = next_of(socket), next_of(socket)
        assert next(events) == second
    assert (first["topic"], first["data"]) == ("more", {"n": 0})
    created_at = second.pop("created_at")
    assert second == {"kind": "data", "channel": "user:1", "topic": "news", "data": {"n": 2, "text": "ä\n😀"}}
    assert created_at.endswith("Z")


def test_what_a_message_may_be(stage: Stage) -> None:
    with listening(stage, token(stage, "c", "t", "u"), as_header=True) as socket:
        for data in (None, 0, "text", [1, {"a": "b"}]):
            assert publish(stage, data).status_code == 200
            assert next_of(socket)["data"] == data
        for text in (b"no json", b'{"n": NaN}', b""):
            assert publish(stage, text).status_code == 200
            assert next_of(socket)["data"] == text.decode()
        query = {"channel": "c", "topic": ["t", "u"], "run_id": "r", "metadata": '{"m": 1}'}
        plain = {"Content-Type": "text/plain"}
        assert stage.http.post("/v1/realtime/publish", params=query, content=b"1", headers=plain).status_code == 200
        for topic in ("t", "u"):
            message = next_of(socket)
            assert (message["topic"], message["data"]) == (topic, "1")
            assert (message["run_id"], message["metadata"]) == ("r", {"m": 1})
        assert publish(stage, b'"' + b"x" * (512 * 1024 - 2) + b'"').status_code == 200
        assert len(next_of(socket)["data"]) == 512 * 1024 - 2


def test_nothing_is_kept_for_those_who_come_later(stage: Stage) -> None:
    publish(stage, "before")
    with listening(stage, token(stage)) as socket:
        publish(stage, "after")
        assert next_of(socket)["data"] == "after"


def test_who_may_not_publish_or_have_a_token(stage: Stage) -> None:
    del stage.http.headers["authorization"]
    assert publish(stage, 1).status_code == 401
    assert stage.http.post("/v1/realtime/token", json=[{"channel": "c", "name": "t"}]).status_code == 401


@pytest.mark.parametrize(
    ("query", "body", "status", "told"),
    [
        ("topic=t", b"1", 400, "channel"),
        ("channel=c", b"1", 400, "topic"),
        ("channel=&topic=t", b"1", 400, "channel"),
        ("channel=c&topic=", b"1", 400, "topic"),
        ("channel=c&topic=" + "t" * 513, b"1", 400, "topic"),
        ("channel=c%00&topic=t", b"1", 400, "NUL"),
        ("channel=c&topic=t", b"\xff", 400, "neither JSON nor text"),
        ("channel=c&topic=t", b"x" * (512 * 1024 + 1), 413, "524288 bytes"),
    ],
)
def test_what_cannot_be_published(stage: Stage, query: str, body: bytes, status: int, told: str) -> None:
    answer = stage.http.post(f"/v1/realtime/publish?{query}", content=body)
    assert answer.status_code == status
    assert told in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("{", "JSON"),
        ("[]", "at least 1"),
        ('[{"channel": "c"}]', "0.name"),
        ('[{"channel": "c", "name": ""}]', "0.name"),
        ('[{"name": "t"}]', "0.channel"),
        ('[{"channel": "\\ud800", "name": "t"}]', "JSON"),
        ('[{"channel": "c", "name": "\\u0000"}]', "0.name"),
        ('[{"channel": "", "name": "t"}]', "0.channel"),
        ('[{"kind": "other", "channel": "c", "name": "t"}]', "0.kind"),
        ('[{"channel": "c", "name": "t"}, {"kind": "event", "name": "shop/paid"}]', "1.kind: events are not"),
        (json.dumps([{"channel": "c", "name": "t"}] * 101), "at most 100"),
    ],
)
def test_what_no_token_is_given_for(stage: Stage, body: str, told: str) -> None:
    answer = stage.http.post("/v1/realtime/token", content=body)
    assert (answer.status_code, told in answer.json()["error"]) == (400, True), answer.text


def test_a_token_lets_in_for_a_minute(stage: Stage) -> None:
    given = token(stage)
    claims = jwt.decode(given, options={"verify_signature": False})
    assert claims["iss"] == "rt.inngest.com"
    assert claims["exp"] - claims["iat"] == 60
    with listening(stage, given) as socket:
        stage.bench.advance(seconds=61)
        assert refusal(stage, given) == (401, "token_expired")
        publish(stage, "still")
        assert next_of(socket)["data"] == "still", "who is in stays"


def test_other_tokens_let_nobody_in(stage: Stage) -> None:
    given = token(stage)
    claims = jwt.decode(given, options={"verify_signature": False})
    head, body, signature = given.split(".")
    other = jwt.encode({**claims, "topics": [{"channel": "x", "name": "t"}]}, "guessed" * 5).split(".")[1]
    forged = (
        ".".join((head, other, signature)),
        jwt.encode(claims, "guessed" * 5, "HS256"),
        jwt.encode(claims, KEY, "HS256"),
        jwt.encode(claims, "", "none"),
        f"{head}.{body}.",
        "no token",
    )
    for each in forged:
        assert refusal(stage, each) == (401, "token_invalid")
    assert refusal(stage, "") == (401, "token_missing")


def refusal(stage: Stage, given: str) -> tuple[int, str]:
    """Try to listen, in both ways; give the status and the code of the refusal."""
    with pytest.raises(InvalidStatus) as refused:
        listening(stage, given)
    answer = stage.http.get("/v1/realtime/sse", params={"token": given}, headers={"authorization": ""})
    response = refused.value.response
    assert response.status_code == answer.status_code
    assert json.loads(response.body or b"") == answer.json()
    return answer.status_code, answer.json()["code"]


def test_a_token_of_the_key_before_is_taken(bench: Bench, database_url: str) -> None:
    with staged(bench, CLOUD) as stage:
        stage.http.headers["authorization"] = f"Bearer {KEY}"
        given = token(stage)
    after = Bench(database_url, inngest_signing_key="aa" * 16, inngest_signing_key_fallback=KEY)
    with staged(after, CLOUD) as stage, listening(stage, given):
        pass
    after.close()


def test_without_keys_anybody_may(database_url: str) -> None:
    bench = Bench(database_url)
    with staged(bench, QUIET) as stage:
        client = official.Inngest(app_id="a", is_production=False, api_base_url=stage.url)
        given: Any = realtime.get_subscription_token_sync(client, "c", ["t"])
        with listening(stage, given["key"]) as socket:
            realtime.publish_sync(client, "c", "t", {"n": 1})
            assert next_of(socket)["data"] == {"n": 1}
    bench.close()


def test_who_reads_too_slowly_is_cut_off(stage: Stage) -> None:
    """The client's library stops reading while it has frames that nobody has taken."""
    url = f"{stage.url.replace('http', 'ws', 1)}/v1/realtime/connect?token={token(stage)}"
    with connect_websocket(url, max_queue=1, compression=None) as slow, listening(stage, token(stage)) as quick:
        large = "x" * (500 * 1024)
        for number in range(60):
            assert publish(stage, {"n": number, "x": large}).status_code == 200
            assert next_of(quick)["data"]["n"] == number
        heard = [json.loads(text)["data"]["n"] for text in until_closed(slow)]
        assert heard == list(range(len(heard)))
        assert len(heard) < 60


def test_a_stream_is_heard_while_it_comes(stage: Stage) -> None:
    said: queue.Queue[bytes | None] = queue.Queue()
    query = {"channel": "c", "topic": "t", "run_id": "r"}
    stream = {"Content-Type": "text/stream"}

    def send() -> httpx.Response:
        return stage.http.post("/v1/realtime/publish", params=query, content=iter(said.get, None), headers=stream)

    with listening(stage, token(stage)) as socket, ThreadPoolExecutor(1) as threads:
        sent = threads.submit(send)
        said.put(b"one \xc3")
        begun, first = next_of(socket), next_of(socket)
        said.put(b"\xa4" + b"x" * 3000)
        more = [next_of(socket)]
        while len("".join(each["data"] for each in more)) < 3001:
            more.append(next_of(socket))
        said.put(None)
        ended = next_of(socket)
        assert sent.result(30).status_code == 200
    messages = [begun, first, *more, ended]
    assert [begun["kind"], ended["kind"]] == ["datastream-start", "datastream-end"]
    assert {each["kind"] for each in (first, *more)} == {"chunk"}
    assert begun["data"] == ended["data"]
    assert {each["stream_id"] for each in messages} == {begun["data"]}
    assert {(each["channel"], each["topic"], each["run_id"]) for each in messages} == {("c", "t", "r")}
    assert first["data"] == "one "
    assert "".join(each["data"] for each in more) == "ä" + "x" * 3000
    assert max(len(each["data"]) for each in more) <= 1024


def test_a_stream_has_an_end_however_it_ends(stage: Stage) -> None:
    def breaks_off() -> Iterator[bytes]:
        yield b"begun"
        assert [next_of(socket)["kind"] for _ in range(2)] == ["datastream-start", "chunk"]
        raise ConnectionError("gone")

    query, stream = {"channel": "c", "topic": "t"}, {"Content-Type": "text/stream; charset=utf-8"}
    with listening(stage, token(stage)) as socket:
        with pytest.raises(ConnectionError):
            stage.http.post("/v1/realtime/publish", params=query, content=breaks_off(), headers=stream)
        assert next_of(socket)["kind"] == "datastream-end"
        long = b"x" * (1000 * 1024 + 1)
        answer = stage.http.post("/v1/realtime/publish", params=query, content=long, headers=stream)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_invalid")
        assert len(until_end(socket)) > 100, "as much as it may have"


def test_a_stream_that_comes_back(stage: Stage) -> None:
    run_id = "01HF7YAT000000000000000001"
    with listening(stage, token(stage, run_id, "$stream")) as socket:
        answer = stage.http.post(f"/v1/realtime/publish/tee?channel={run_id}", content=iter([b"a", b"\xff", b"b"]))
        assert (answer.status_code, answer.content) == (200, b"a\xffb")
        heard = until_end(socket)
    assert heard[0]["kind"] == "datastream-start"
    assert "".join(each["data"] for each in heard[1:-1]) == "a\ufffdb"


@pytest.mark.databases("sqlite", "postgres", "mariadb")
def test_what_becomes_of_a_run(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        async def fail() -> None:
            raise inngest.NonRetriableError("no")

        await ctx.step.run("first", lambda: "secret")
        await ctx.step.sleep("nap", timedelta(days=1))
        with suppress(inngest.StepError):
            await ctx.step.run("second", fail)
        return "secret"

    with staged(bench, CLOUD) as stage:
        stage.http.headers["authorization"] = f"Bearer {KEY}"
        run = bench.run()
        other = bench.run()
        with listening(stage, token(stage, run.id, "$run", "$step")) as socket:
            early = [next_of(socket) for _ in range(2)]
            with events_of(stage, token(stage, run.id, "$step")) as events:
                assert next(events)["data"] == early[0]["data"], "what was done before"
                bench.output(run)
                late = [next_of(socket) for _ in range(3)]
                assert [next(events)["data"] for _ in range(2)] == [each["data"] for each in late[:2]]
    messages = early + late
    assert [each["kind"] for each in messages] == ["step", "run", "step", "step", "run"]
    assert {each["channel"] for each in messages} == {each["run_id"] for each in messages} == {run.id} != {other.id}
    told = [(each["data"].get("name"), each["data"]["status"]) for each in messages]
    steps = [("first", "Completed"), ("nap", "Completed"), ("second", "Failed")]
    assert told == [steps[0], (None, "Running"), *steps[1:], (None, "Completed")]
    assert "secret" not in json.dumps(messages)
    assert late[-1]["data"]["function"] == "app-fn"
    assert early[1]["data"]["ended_at"] is None
    assert late[-1]["data"]["ended_at"] > late[-1]["data"]["started_at"] >= early[1]["data"]["created_at"]


def ask(connection: ClientConnection, kind: str, data: Any = None) -> Any:
    """Say something over a connection, and give what is answered to it; what came before that is passed over."""
    connection.send(json.dumps({"kind": kind, "data": data}))
    while (answer := next_of(connection))["kind"] != {"ping": "pong"}.get(kind, kind):
        pass
    return answer["data"]


def test_who_listens_may_hear_more_and_less(stage: Stage) -> None:
    mine, more = ({"kind": "run", "channel": channel, "name": name} for channel, name in ("ct", "du"))
    with listening(stage, token(stage)) as socket:
        assert ask(socket, "sub", token(stage, "d", "u")) == [more]
        assert ask(socket, "sub", token(stage, "d", "u")) == [], "it has that"
        publish(stage, 1, "d", "u")
        publish(stage, 2)
        assert [next_of(socket)["data"] for _ in range(2)] == [1, 2]
        assert ask(socket, "unsub", [more, {"channel": "other", "name": "u"}]) == [more]
        publish(stage, 3, "d", "u")
        publish(stage, 4)
        assert next_of(socket)["data"] == 4
        assert ask(socket, "unsub", [mine]) == [mine]
        publish(stage, 5)
        socket.send('{"kind": "ping", "data": {"n": 6}}')
        assert next_of(socket)["data"] == {"n": 6}
        assert ask(socket, "sub", token(stage)) == [mine]
        publish(stage, 7)
        assert next_of(socket)["data"] == 7


def test_what_cannot_be_asked_for_while_listening(stage: Stage) -> None:
    expired = token(stage)
    stage.bench.advance(seconds=61)
    with listening(stage, token(stage)) as socket:
        for kind, data, code in (
            ("sub", "no token", "token_invalid"),
            ("sub", expired, "token_expired"),
            ("sub", ["c"], "invalid_request"),
            ("unsub", "c", "invalid_request"),
            ("unsub", [{"name": "t"}], "invalid_request"),
            ("unsub", [{"kind": "event", "name": "t"}], "topic_unsupported"),
        ):
            told = ask(socket, kind, data)
            assert told["code"] == code, told
        for number in range(10):
            told = ask(socket, "sub", token(stage, "many", *(f"{number}-{each}" for each in range(100))))
        assert told["code"] == "too_many_topics"
        for text in ("no json", "[]", '{"kind": "data"}', b'{"kind": "ping"}', '{"kind": "ping", "data": NaN}'):
            socket.send(text)
        publish(stage, "still")
        assert next_of(socket)["data"] == "still"
        with suppress(ConnectionClosed):
            socket.send("x" * (512 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_who_listens_to_a_run_again_is_told_again(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.step.run("first", lambda: None)
        ctx.step.sleep("nap", timedelta(days=1))

    with staged(bench, CLOUD) as stage:
        stage.http.headers["authorization"] = f"Bearer {KEY}"
        run = bench.run()
        with listening(stage, token(stage)) as socket:
            for _ in range(2):
                topics = ask(socket, "sub", token(stage, run.id, "$run", "$step"))
                assert [topic["name"] for topic in topics] == ["$run", "$step"]
                told = [next_of(socket)["data"] for _ in range(2)]
                assert [each.get("name", each["status"]) for each in told] == ["first", "Running"]
                ask(socket, "unsub", topics)
        bench.output(run)


def test_of_very_many_steps_the_last_are_told(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> None:
        for number in range(110):
            ctx.step.run(f"{number}", lambda: None)
        ctx.step.sleep("nap", timedelta(days=1))

    with staged(bench, CLOUD) as stage:
        stage.http.headers["authorization"] = f"Bearer {KEY}"
        run = bench.run()
        with listening(stage, token(stage, run.id, "$step")) as socket:
            told = [next_of(socket)["data"]["name"] for _ in range(100)]
            bench.output(run)
            assert [*told, next_of(socket)["data"]["name"]] == [*map(str, range(10, 110)), "nap"]


def test_they_are_told_when_the_server_stops(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """As ``start`` and ``dev`` stop it."""
    with ExitStack() as opened:
        with serving(bench.app, CLOUD, "127.0.0.1", 0) as port:
            stage = Stage(bench, f"http://127.0.0.1:{port}")
            opened.callback(stage.http.close)
            stage.http.headers["authorization"] = f"Bearer {KEY}"
            socket = opened.enter_context(listening(stage, token(stage)))
            events = opened.enter_context(events_of(stage, token(stage)))
        assert list(events) == [], "the answer has a proper end"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_all_servers_on_one_redis_share_what_is_published(database_url: str, redis_url: str) -> None:
    with ExitStack() as opened:
        stages = []
        for _ in range(2):
            bench = Bench(database_url, inngest_signing_key=KEY, inngest_redis_url=redis_url)
            opened.callback(bench.close)
            stages.append(opened.enter_context(staged(bench, CLOUD)))
            stages[-1].http.headers["authorization"] = f"Bearer {KEY}"
        here, there = stages
        with listening(here, token(there)) as first, events_of(there, token(here)) as second:
            for number in range(50):
                assert publish(stages[number % 2], number).status_code == 200
            heard = [next_of(first)["data"] for _ in range(50)]
            assert sorted(heard) == list(range(50))
            assert sorted(next(second)["data"] for _ in range(50)) == list(range(50))


@pytest.mark.brokers("valkey")
def test_functions_publish(database_url: str, redis_url: str) -> None:
    bench = Bench(database_url, inngest_signing_key=KEY, inngest_redis_url=redis_url)

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        channel = str(ctx.event.data["channel"])

        await ctx.step.run("tell", ours.publish, bench.client, channel, "progress", {"percent": 50, "text": "ä"})
        await ctx.step.sleep("nap", timedelta(days=1))
        await asyncio.to_thread(ours.publish_sync, bench.client, channel, "progress", {"percent": 100})

    with closing(bench), staged(bench, CLOUD) as stage:
        given: Any = ours.get_subscription_token_sync(bench.client, "order:1", ["progress"])
        assert {**given, "key": ""} == {"channel": "order:1", "topics": ["progress"], "key": ""}
        with listening(stage, given["key"]) as socket:
            run = bench.run(channel="order:1")
            assert next_of(socket)["data"] == {"percent": 50, "text": "ä"}
            bench.output(run)
            assert next_of(socket)["data"] == {"percent": 100}


def test_a_client_of_a_server_publishes_there(stage: Stage) -> None:
    client = inngest.Inngest(
        app_id="a", is_production=True, api_base_url=stage.url, event_api_base_url=stage.url, signing_key=KEY
    )
    given: Any = asyncio.run(ours.get_subscription_token(client, "c", ["t"]))
    with listening(stage, given["key"]) as socket:
        asyncio.run(ours.publish(client, "c", "t", {"n": 1}))
        assert next_of(socket)["data"] == {"n": 1}
    stranger = inngest.Inngest(
        app_id="a", is_production=True, api_base_url=stage.url, event_api_base_url=stage.url, signing_key="aa" * 16
    )
    with pytest.raises(ours.RealtimeError, match="status 401") as refused:
        ours.publish_sync(stranger, "c", "t", {})
    assert refused.value.code == "realtime_failed"


@pytest.mark.parametrize(
    ("channel", "topic", "data", "told"),
    [
        ("", "t", {}, "name channel and topics"),
        ("c", "t" * 513, {}, "name channel and topics"),
        ("c\0", "t", {}, "name channel and topics"),
        ("c", "t", {"a": {1}}, "JSON cannot hold a set at \\$.a"),
        ("c", "t", {"a": float("nan")}, "JSON cannot hold"),
        ("c", "t", {"a": "x" * 512 * 1024}, "are more than 524288"),
    ],
)
def test_what_functions_cannot_publish(bench: Bench, channel: str, topic: str, data: Any, told: str) -> None:
    with pytest.raises(ours.RealtimeError, match=told) as refused:
        ours.publish_sync(bench.client, channel, topic, data)
    assert (refused.value.code, refused.value.is_retriable) == ("realtime_data_invalid", False)


def test_functions_publish_by_redis_only(bench: Bench, database_url: str) -> None:
    with pytest.raises(ours.RealtimeError, match="inngest_redis_url") as refused:
        ours.publish_sync(bench.client, "c", "t", {})
    assert (refused.value.code, refused.value.is_retriable) == ("redis_missing", False)
    lost = Bench(database_url, inngest_redis_url="redis://127.0.0.1:1")
    with pytest.raises(ours.RealtimeError, match="does not answer") as failed:
        ours.publish_sync(lost.client, "c", "t", {})
    assert (failed.value.code, failed.value.is_retriable) == ("realtime_failed", True)
