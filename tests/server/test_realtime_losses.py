"""Realtime without its Redis: who listens stays, nobody is let in who would hear nothing, and it goes on by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from tests.functions.bench import Bench
from tests.own_redis import OwnRedis
from tests.server.stage import QUIET, Stage, staged
from tests.server.test_realtime import ask, listening, next_of, publish, token
from tests.waiting import wait_until

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    with closing(OwnRedis(tmp_path / "redis")) as server:
        yield server


@pytest.fixture
def stage(database_url: str, own_redis: OwnRedis) -> Iterator[Stage]:
    with closing(Bench(database_url, inngest_redis_url=own_redis.url)) as bench, staged(bench, QUIET) as stage:
        yield stage


def test_redis_is_killed_and_comes_back_without_what_it_knew(
    stage: Stage, own_redis: OwnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(stage, token(stage)) as socket:
        publish(stage, "before")
        assert next_of(socket)["data"] == "before"
        own_redis.kill()
        refused(stage)
        assert ask(socket, "sub", token(stage, "new", "u"))["code"] == "unavailable"
        assert deafness(caplog) == ["realtime_deaf"], "said once, not at each attempt"
        own_redis.start()
        heard_again(stage, socket)
        assert ask(socket, "sub", token(stage, "new", "u")) == [{"kind": "run", "channel": "new", "name": "u"}]
        publish(stage, "more", "new", "u")
        assert next_of(socket)["data"] == "more"


def test_redis_is_frozen(stage: Stage, own_redis: OwnRedis, caplog: pytest.LogCaptureFixture) -> None:
    with listening(stage, token(stage)) as socket:
        own_redis.freeze()
        refused(stage)
        # Not because the connection has broken: it is silent, and given up.
        wait_until(lambda: deafness(caplog), message="the server to see that it hears nothing")
        own_redis.thaw()
        heard_again(stage, socket)


def refused(stage: Stage) -> None:
    """Prove that nobody is told that all is well."""
    answer = publish(stage, "lost")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    with pytest.raises(InvalidStatus) as refusal:
        listening(stage, token(stage, "new"))
    body = json.loads(refusal.value.response.body or b"")
    assert (refusal.value.response.status_code, body["code"]) == (503, "unavailable")
    answer = stage.http.get("/v1/realtime/sse", params={"token": token(stage, "new")})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def heard_again(stage: Stage, socket: ClientConnection) -> None:
    """Prove that the one who stayed hears again, and another may come."""

    def heard() -> bool:
        publish(stage, "after")
        try:
            # What Redis was asked before it froze it may do when it thaws.
            return bool(json.loads(socket.recv(timeout=0.1))["data"] == "after")
        except TimeoutError:
            return False

    wait_until(heard, message="a message")
    with listening(stage, token(stage, "new")) as another:
        publish(stage, "to both", "new")
        assert next_of(another)["data"] == "to both"


def deafness(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [action for record in caplog.records if (action := getattr(record, "action", "")) == "realtime_deaf"]
