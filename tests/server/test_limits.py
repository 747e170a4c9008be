"""What the server says and does about limits that Redis keeps, on a real one. The worker is the test itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery

import inngest_celery as inngest
from inngest_celery.flow.inspect import standing_of
from inngest_celery.flow.places import place_of_job
from inngest_celery.server.application import create_app
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runs import RunInfo
from tests import stage
from tests.server.stage import QUIET
from tests.server.typescript import running
from tests.server.web import served
from tests.services import missing
from tests.stage import Stage, define_functions

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]


@pytest.fixture
def limited(database_url: str, redis_url: str) -> Iterator[Stage]:
    app = Celery("limited", broker=redis_url, set_as_current=False)
    define_functions(inngest.Inngest(app_id="stage", celery=app))
    limited = Stage(app, database_url)
    yield limited
    limited.close()


@pytest.fixture
def server(limited: Stage) -> Iterator[str]:
    with served(create_app(limited.runtime, QUIET)) as url:
        yield url


def states(limited: Stage, *runs: RunInfo) -> list[str]:
    """Tell how the jobs of runs stand that have one each."""
    gate, now = limited.runtime.admission.gate, limited.clock.now()
    return [standing_of(gate, place_of_job(job), now).state.value for run in runs for job in limited.jobs(run.id)]


@pytest.mark.skipif("node" in missing(), reason="there is no Node.js")
def test_limits_of_an_app_on_the_typescript_sdk(limited: Stage, server: str, tmp_path: Path) -> None:
    with running(server, tmp_path / "node.log", LIMITS="yes"):
        first, second, other, third = (limited.send("ts/keyed", customer=name) for name in "aabc")
        assert states(limited, first, second, other, third) == ["called", "waiting", "called", "waiting"]
        limited.work(other)
        assert states(limited, first, second, third) == ["called", "waiting", "called"]
        limited.work(first)
        assert states(limited, second, third) == ["called", "called"]

        mine, yours = limited.send("ts/shared"), limited.send("ts/sharing")
        assert states(limited, mine, yours) == ["called", "waiting"]
        limited.work(mine)
        assert states(limited, yours) == ["called"]

        # The burst comes on top.
        now, also, later, at_once = (limited.send("ts/throttled", customer=name) for name in "aaab")
        assert states(limited, now, also, later, at_once) == ["called", "called", "waiting", "called"]

        runs = [limited.send("ts/rated", customer=name) for name in "aab"]
        assert [limited.runs.get(run.id).status.name for run in runs] == ["COMPLETED", "SKIPPED", "COMPLETED"]

        running_one, calm, urgent = (limited.send("ts/urgent", urgent=urgent) for urgent in (False, False, True))
        limited.work(running_one)
        assert states(limited, calm, urgent) == ["waiting", "called"]

        begun, waiting = limited.send("ts/impatient"), limited.send("ts/impatient")
        limited.work(now)
        limited.begin(begun)
        limited.pass_time(timedelta(seconds=61))
        assert later.id in limited.tick()
        limited.perform(waiting.id, "deadline:start")
        assert limited.runs.get(waiting.id).status is RunStatus.CANCELLED
        assert limited.work(later) is None
    assert limited.runs.get(later.id).output == "work"


def test_a_call_over_a_rate_limit_is_refused_and_told(limited: Stage, server: str) -> None:
    with httpx.Client(base_url=server, timeout=30) as http:

        def call() -> tuple[int, Any]:
            answer = http.post("/v2/apps/stage/functions/rated/invoke", json={"data": {}})
            return answer.status_code, answer.json()

        status, first = call()
        assert status == 201
        status, refused = call()
        assert (status, refused["errors"][0]["code"]) == (422, "rate_limited")
        limited.pass_time(stage.HOUR + timedelta(seconds=1))
        status, third = call()
        assert status == 201
    statuses = {run.id: run.status for run in limited.runs.list()}
    assert statuses.pop(first["data"]["runId"]) is RunStatus.SCHEDULED
    assert statuses.pop(third["data"]["runId"]) is RunStatus.SCHEDULED
    # The refused one is there, and is said to have been skipped.
    assert list(statuses.values()) == [RunStatus.SKIPPED]
