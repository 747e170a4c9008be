"""Steps are stopped by their time limits, and processes that die give back what they held, long before the lease."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from inngest_celery.store.rows import RunStatus
from tests.conftest import StartWorker
from tests.e2e.stops import Stops


@pytest.fixture
def stops(
    database_url: str, broker_url: str, redis_url: str, tmp_path: Path, start_worker: StartWorker
) -> Iterator[Stops]:
    stops = Stops(database_url, broker_url, redis_url, tmp_path, start_worker)
    yield stops
    stops.close()


@pytest.mark.pairs
def test_a_body_is_stopped_hard_whatever_it_does(stops: Stops) -> None:
    stops.worker(pool="prefork", concurrency=4)
    kinds = ("sleep", "loop", "c", "kill")
    first = {how: stops.begin("stuck", how=how, first=True) for how in kinds}
    for how in kinds:
        stops.wait_for_line(f"{how} True")
    # These wait for the place of the ones that are stuck.
    second = {how: stops.begin("stuck", how=how) for how in kinds}
    for how in kinds:
        for event_id in (first[how], second[how]):
            assert stops.end_of(event_id).output == ["before", how, ""]
    codes = sorted(json.loads(row.error)["code"] for row in stops.attempts())
    assert codes == ["step_time_limit"] * 3 + ["worker_lost"]
    assert {row.attempt for row in stops.attempts()} == {0}
    counts = {line: stops.lines().count(line) for line in stops.lines()}
    assert counts == {**{f"{how} True": 2 for how in kinds}, **{f"{how} None": 1 for how in kinds}}


@pytest.mark.databases("sqlite", "postgres")
@pytest.mark.brokers("valkey")
def test_the_last_attempt_that_is_stopped_fails_the_step(stops: Stops) -> None:
    stops.worker(pool="prefork", concurrency=2)
    caught, failed, each = stops.begin("last", catch=True), stops.begin("last"), stops.begin("each")
    assert stops.end_of(caught).output == "went on"
    ended = stops.end_of(failed)
    assert ended.status is RunStatus.FAILED
    assert ended.output["code"] == "step_time_limit"
    stops.wait_for_line("failed: step_time_limit")
    assert stops.end_of(each).output == "done", "a function's own time limit is that of each step"


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("valkey")
@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_a_soft_limit_is_raised_in_the_body(stops: Stops, pool: str) -> None:
    worker = stops.worker(pool=pool, concurrency=1)
    in_async = stops.end_of(stops.begin("soft-async"))
    assert in_async.output["name"] == "SoftTimeLimitExceeded"
    assert stops.lines() == ["cancelled"]
    in_sync = stops.end_of(stops.begin("soft", seconds=1))
    if pool == "threads":
        assert in_sync.output == "slept"
        assert "soft_time_limit of a step that is not async cannot be kept" in worker.log
    else:
        assert in_sync.output["name"] == "SoftTimeLimitExceeded"
        assert stops.lines() == ["cancelled", "interrupted"]
