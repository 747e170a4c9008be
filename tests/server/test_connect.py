"""Apps that dial in: the official SDK over a real WebSocket and a real Redis, and one that does as the test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import inngest as official
import pytest
import websockets
from websockets.sync.client import connect as dial

from inngest_celery.drivers.connect import wire_pb2 as wire
from inngest_celery.drivers.connect.calling import NobodyTakesIt, call
from inngest_celery.drivers.http.request import DISCOVERY, Call
from inngest_celery.flow.gate import connect as connect_to_redis
from inngest_celery.server import sends
from inngest_celery.server.application import create_app
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker import signing_keys
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.dialling import Dialler, dialled_in, reply
from tests.server.stage import QUIET, Stage, staged
from tests.server.web import served
from tests.waiting import wait_until

GO = official.TriggerEvent(event="test/go")
pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    # The least that a call's lease can be.
    bench = Bench(database_url, inngest_redis_url=redis_url, inngest_lease=4)
    try:
        yield bench
        bench.check()
    finally:
        runtime_of(bench.app).channel.close()
        bench.close()


@contextmanager
def dialler(url: str) -> Iterator[Dialler]:
    app = Dialler(url)
    try:
        yield app
    finally:
        app.close()


def empty(redis_url: str) -> None:
    client = connect_to_redis(redis_url)
    client.flushall()
    client.close()


def doing(stage: Stage) -> threading.Thread:
    """Do all that is due meanwhile, as a worker does."""
    thread = threading.Thread(target=stage.drain, daemon=True)
    thread.start()
    return thread


@pytest.mark.brokers("valkey", "redis", "cluster")
def test_every_kind_of_step(stage: Stage) -> None:
    client = stage.client()
    calls: list[str] = []

    def body(name: str) -> str:
        calls.append(name)
        return name

    @client.create_function(fn_id="child", trigger=official.TriggerEvent(event="test/child"))
    async def child(ctx: official.Context) -> Any:
        return {"doubled": 2 * ctx.event.data["n"]}  # type: ignore[operator]

    @client.create_function(fn_id="fn", trigger=GO, retries=1)
    def fn(ctx: official.ContextSync) -> Any:
        first = ctx.step.run("first", body, "first")
        if ctx.step.run("attempt", lambda: ctx.attempt) != 0:
            raise official.NonRetriableError("attempts of steps are their own")
        ctx.step.sleep("nap", timedelta(hours=1))
        event = ctx.step.wait_for_event("wait", event="test/never", timeout=timedelta(minutes=1))
        both = ctx.group.parallel((lambda: ctx.step.run("a", body, "a"), lambda: ctx.step.run("b", body, "b")))
        invoked = ctx.step.invoke("invoke", function=child, data={"n": 4})
        return [first, event, *both, invoked]

    with dialled_in(client, [child, fn]):
        assert stage.output("test/go") == ["first", None, "a", "b", {"doubled": 8}]
    assert sorted(calls) == ["a", "b", "first"]


def test_what_fails_is_tried_again(stage: Stage) -> None:
    client = stage.client()
    calls: list[int] = []

    @client.create_function(fn_id="fn", trigger=GO, retries=2)
    async def fn(ctx: official.Context) -> Any:
        async def flaky() -> str:
            calls.append(ctx.attempt)
            if len(calls) < 3:
                raise ValueError("not yet")
            return "now"

        return await ctx.step.run("flaky", flaky)

    @client.create_function(fn_id="never", trigger=official.TriggerEvent(event="test/never"), retries=5)
    async def never(ctx: official.Context) -> Any:
        raise official.NonRetriableError("no use")

    with dialled_in(client, [fn, never]):
        assert stage.output("test/go") == "now"
        assert stage.error("test/never")["message"] == "no use"
    assert calls == [0, 1, 2]


@pytest.mark.parametrize("size", [3_000_000, 6_000_000])
def test_states_larger_than_a_message(stage: Stage, size: int) -> None:
    client = stage.client()

    @client.create_function(fn_id="fn", trigger=GO)
    def fn(ctx: official.ContextSync) -> int:
        parts = [ctx.step.run(f"part-{number}", lambda: "x" * (size // 3)) for number in range(3)]
        return sum(len(part) for part in parts)

    with dialled_in(client, [fn]):
        assert stage.output("test/go") == size


def test_an_app_that_is_away_loses_no_attempt(stage: Stage) -> None:
    """A run whose function may be tried once waits for its app, however often it is looked for."""
    client = stage.client()

    @client.create_function(fn_id="fn", trigger=GO, retries=0)
    async def fn(ctx: official.Context) -> str:
        return "done"

    with dialled_in(client, [fn]):
        pass
    runtime_of(stage.bench.app).channel.patience_s = 0.1
    run = stage.start("test/go")
    for _ in range(12):
        stage.bench.advance(seconds=11)
    assert stage.bench.get(run).status is RunStatus.RUNNING
    assert stage.bench.rows(schema.attempt) == []
    with dialled_in(client, [fn]):
        assert stage.bench.output(run) == "done"


def test_a_connection_takes_no_more_than_it_says(stage: Stage) -> None:
    with dialler(stage.url) as app:
        assert app.introduce(max_worker_concurrency=1).kind == wire.GATEWAY_CONNECTION_READY
        stage.send("shop/a")
        working = doing(stage)
        first = app.take_call()
        runtime_of(stage.bench.app).channel.patience_s = 0.1
        with pytest.raises(NobodyTakesIt, match="as much as they take"):
            call(runtime_of(stage.bench.app).channel, "shop", _call("another"), b"{}")
        app.say(wire.WORKER_REPLY, reply(first, 1))
        assert app.hear().kind == wire.WORKER_REPLY_ACK
        working.join(20)
        # There is room again.
        stage.send("shop/a")
        working = doing(stage)
        app.say(wire.WORKER_REPLY, reply(app.take_call(), 2))
        working.join(20)
    assert {row.output for row in stage.bench.rows(schema.run)} == {"1", "2"}


def test_calls_go_round(stage: Stage) -> None:
    with dialler(stage.url) as one, dialler(stage.url) as other:
        for app in (one, other):
            app.introduce()
        for _ in range(2):
            for app in (one, other):
                stage.send("shop/a")
                working = doing(stage)
                app.say(wire.WORKER_REPLY, reply(app.take_call(), 1))
                assert app.hear().kind == wire.WORKER_REPLY_ACK
                working.join(20)
                assert not working.is_alive()


def test_one_that_says_nothing_loses_its_call_to_another(stage: Stage) -> None:
    """It has taken the call, and then is not heard of for a lease: as a process that was killed or frozen."""
    with dialler(stage.url) as one:
        one.introduce()
        stage.send("shop/a")
        working = doing(stage)
        lost = one.take_call()
        working.join(20)
        [attempt] = stage.bench.rows(schema.attempt)
        assert "connect_worker_stopped_responding" in attempt.error
        with dialler(stage.url) as other:
            other.introduce()
            one.say(wire.WORKER_PAUSE)
            # It is told to stop, should it still be there.
            assert not one.extend(lost).HasField("new_lease_id")
            working = threading.Thread(target=lambda: stage.bench.advance(minutes=1), daemon=True)
            working.start()
            again = other.take_call()
            assert other.extend(again).HasField("new_lease_id")
            # An answer that comes too late is taken, and nobody hears it.
            one.say(wire.WORKER_REPLY, reply(lost, "late"))
            assert one.hear().kind == wire.WORKER_REPLY_ACK
            other.say(wire.WORKER_REPLY, reply(again, "in time"))
            working.join(20)
    [run] = stage.bench.rows(schema.run)
    assert run.output == '"in time"'


def test_work_goes_on_over_the_next_connection(stage: Stage) -> None:
    """A connection breaks, and the app dials in at another server: the call is not made again."""
    with served(create_app(runtime_of(stage.bench.app), QUIET)) as elsewhere:
        app = Dialler(stage.url)
        app.introduce()
        stage.send("shop/a")
        working = doing(stage)
        request = app.take_call()
        app.close()
        with dialler(elsewhere) as app:
            app.introduce()
            assert app.extend(request).HasField("new_lease_id")
            app.say(wire.WORKER_REPLY, reply(request, "once"))
            assert app.hear().kind == wire.WORKER_REPLY_ACK
            working.join(20)
    [run] = stage.bench.rows(schema.run)
    assert run.output == '"once"'
    assert stage.bench.rows(schema.attempt) == []


def test_an_answer_comes_over_http(stage: Stage) -> None:
    app = Dialler(stage.url)
    app.introduce()
    stage.send("shop/a")
    working = doing(stage)
    request = app.take_call()
    app.close()
    answer = stage.http.post("/v0/connect/flush", content=reply(request, "flushed").SerializeToString())
    assert answer.status_code == 200
    assert wire.FlushResponse.FromString(answer.content).request_id == request.request_id
    working.join(20)
    [run] = stage.bench.rows(schema.run)
    assert run.output == '"flushed"'


@pytest.mark.brokers("valkey", "cluster")
def test_redis_loses_everything(stage: Stage, redis_url: str) -> None:
    """The next heartbeat makes a connection known again."""
    with dialler(stage.url) as app:
        app.introduce()
        empty(redis_url)
        app.say(wire.WORKER_HEARTBEAT)
        assert app.hear().kind == wire.GATEWAY_HEARTBEAT
        stage.send("shop/a")
        working = doing(stage)
        app.say(wire.WORKER_REPLY, reply(app.take_call(), 1))
        working.join(20)
    assert {row.output for row in stage.bench.rows(schema.run)} == {"1"}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"token": "wrong"}, "connect_authentication_failed"),
        ({"token": ""}, "connect_authentication_failed"),
        ({"apps": [wire.App(app_name="shop", functions=b"{")]}, "config_invalid"),
        ({"apps": [wire.App(app_name=" ", functions=b"[]")]}, "config_invalid"),
        ({"apps": [wire.App(app_name="shop", functions=b'[{"id": "x"}, 3]')]}, "config_invalid"),
    ],
)
def test_who_is_refused_is_told_why(stage: Stage, said: dict[str, Any], code: str) -> None:
    with dialler(stage.url) as app:
        refused = app.introduce(**said)
        assert refused.kind == wire.SYNC_FAILED
        error = wire.SystemError.FromString(refused.payload)
        assert error.code == code
        assert error.message
        with pytest.raises(websockets.ConnectionClosed):
            app.hear()
    assert stage.bench.rows(schema.function) == []


def test_what_is_no_message_ends_the_connection(stage: Stage) -> None:
    with dialler(stage.url) as app:
        app.introduce()
        app.socket.send(b"\xff\xff\xff")
        with pytest.raises(websockets.ConnectionClosed):
            app.hear()
    with pytest.raises(websockets.InvalidStatus), dial(app.given.gateway_endpoint):
        pass
    assert stage.http.post("/v0/connect/flush", content=b"\xff\xff").status_code == 400


def test_keys_are_asked_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # Uses of keys are written when this test says so.
    monkeypatch.setattr(sends, "_LOOK_S", 3600.0)
    bench.app.conf.inngest_signing_key = "signkey-prod-" + "cd" * 32
    bench.app.conf.inngest_signing_key_fallback = "signkey-prod-" + "ab" * 32
    with staged(bench) as stage:
        assert stage.http.post("/v0/connect/start").status_code == 401
        assert stage.http.post("/v0/connect/flush").status_code == 401
        client = stage.client(is_production=True, signing_key="signkey-prod-" + "ab" * 32, event_key="test")

        @client.create_function(fn_id="fn", trigger=GO)
        async def fn(ctx: official.Context) -> str:
            return "done"

        with dialled_in(client, [fn]):
            assert stage.output("test/go") == "done"
            runtime_of(bench.app).signing_keys.write()
        main, fallback = signing_keys.known(runtime_of(bench.app))
        assert (main.used_at, fallback.used_by) == (None, "app sample")


def test_without_a_redis(database_url: str) -> None:
    bench = Bench(database_url)
    with staged(bench) as stage:
        answer = stage.http.post("/v0/connect/start")
        assert answer.status_code == 501
        assert answer.json()["code"] == "redis_missing"
    bench.close()


def test_a_server_that_ends_sends_apps_elsewhere(stage: Stage) -> None:
    """It lets the calls that they have come to an end, and takes no more apps."""
    application = create_app(runtime_of(stage.bench.app), QUIET)
    with served(application) as ending, dialler(ending) as app, dialler(stage.url) as elsewhere:
        app.introduce()
        stage.send("shop/a")
        working = doing(stage)
        request = app.take_call()
        draining = threading.Thread(target=application.state.gateway.drain, args=(20,), daemon=True)
        draining.start()
        assert app.hear().kind == wire.GATEWAY_CLOSING
        assert httpx.post(f"{ending}/v0/connect/start").status_code == 503
        assert draining.is_alive()
        elsewhere.introduce()
        app.say(wire.WORKER_REPLY, reply(request, 1))
        assert app.hear().kind == wire.WORKER_REPLY_ACK
        draining.join(20)
        assert not draining.is_alive()
        working.join(20)
        stage.send("shop/a")
        working = doing(stage)
        elsewhere.say(wire.WORKER_REPLY, reply(elsewhere.take_call(), 2))
        working.join(20)
    assert {row.output for row in stage.bench.rows(schema.run)} == {"1", "2"}


WORKERS = """
query Workers($filter: ConnectV1WorkerConnectionsFilter!, $first: Int!, $after: String) {
  workerConnections(first: $first, after: $after, filter: $filter,
                    orderBy: [{field: CONNECTED_AT, direction: DESC}]) {
    edges { cursor node {
      id gatewayId instanceId workerIp maxWorkerConcurrency appName appID app { name method } connectedAt
      lastHeartbeatAt disconnectedAt disconnectReason status groupHash sdkLang sdkVersion sdkPlatform appVersion
      functionCount cpuCores memBytes os
    } }
    pageInfo { hasNextPage endCursor }
    totalCount
  }
}
"""


def test_workers_are_shown(stage: Stage) -> None:
    def ask(**variables: Any) -> Any:
        given = {"filter": {}, "first": 100, **variables}
        told = stage.http.post("/v0/gql", json={"query": WORKERS, "variables": given}).json()
        assert "errors" not in told, told
        return told["data"]["workerConnections"]

    client = stage.client(app_version="v7")

    @client.create_function(fn_id="fn", trigger=GO)
    async def fn(ctx: official.Context) -> str:
        return "done"

    with dialler(stage.url) as by_hand:
        by_hand.introduce()
        by_hand.say(wire.WORKER_HEARTBEAT)
        assert by_hand.hear().kind == wire.GATEWAY_HEARTBEAT
        with dialled_in(client, [fn], instance_id="here", max_worker_concurrency=5) as connection:
            [mine] = ask(filter={"status": "READY"}, first=1)["edges"]
            node = mine["node"]
            assert node["id"] == connection.get_connection_id()
            assert (node["instanceId"], node["appName"], node["appVersion"]) == ("here", "sample", "v7")
            assert (node["maxWorkerConcurrency"], node["functionCount"], node["sdkLang"]) == (5, 1, "py")
            assert node["app"] == {"name": "sample", "method": "CONNECT"}
            assert node["memBytes"] > 0
            shown = ask(first=1)
            assert shown["totalCount"] == 2
            assert shown["pageInfo"]["hasNextPage"]
            [other] = ask(first=1, after=shown["pageInfo"]["endCursor"])["edges"]
            assert other["node"]["instanceId"] == "by-hand"
            assert ask(filter={"appIDs": [node["appID"]]})["totalCount"] == 1
        wait_until(lambda: ask(filter={"status": "DISCONNECTED"})["totalCount"] == 1, 20, "the end of a connection")
        [ended] = ask(filter={"status": "DISCONNECTED"})["edges"]
        assert ended["node"]["disconnectReason"] == "WORKER_SHUTDOWN"
        assert ended["node"]["disconnectedAt"]
        one = "query One($id: ULID!) { workerConnection(connectionId: $id) { status } }"
        asked = {"query": one, "variables": {"id": by_hand.given.connection_id}}
        assert stage.http.post("/v0/gql", json=asked).json()["data"]["workerConnection"] == {"status": "READY"}


def _call(run_id: str) -> Call:
    return Call(
        url="wss://connect",
        function_id="shop-fn",
        run_id=run_id,
        step=DISCOVERY,
        events=[],
        memos={},
        inputs={},
        attempt=0,
        max_attempts=1,
        version=-1,
        plan_only=False,
        job_id="job",
        generation=1,
        request_id="request",
    )
