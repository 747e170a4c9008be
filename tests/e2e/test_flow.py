"""Limits are exact with several workers, as seen from inside the steps; jobs go in order, and keys take turns."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from inngest_celery.clock import SharedClock
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from tests.conftest import Brokers, StartWorker
from tests.e2e.conftest import OpenLimited
from tests.e2e.limited import PREFIX, Limited, most_at_once, most_begun_within, runs_of
from tests.waiting import wait_until

# As in production: on a busy machine nobody is to be taken for dead here.
PATIENT = {"lease": 30, "hint_timeout": 10}
# The report of `make flow-report` has five thousand.
MANY = 1000
# Of the function "slow": eight a day, and ten at once.
SLOW, SLOW_AT_ONCE, SLOW_INTERVAL_MS = 40, 10, 3 * 3_600_000


@pytest.mark.databases("postgres")
@pytest.mark.brokers("redis")
def test_a_thousand_runs_in_four_processes(open_limited: OpenLimited) -> None:
    limited = open_limited(**PATIENT)
    for _ in range(2):
        limited.worker(pool="prefork", concurrency=2)
    limited.send("bulk", MANY, seconds=0.002)
    limited.wait_for_runs(timeout=120)
    limited.check_all_done()
    bodies = limited.bodies()
    assert 2 <= most_at_once(bodies) <= 3
    assert len({body.process for body in bodies}) == 4
    assert len(bodies) == MANY


@pytest.mark.pairs
@pytest.mark.databases("postgres", "mariadb")
def test_a_throttle_keeps_to_its_rate(open_limited: OpenLimited, clock_file: Path) -> None:
    limited = open_limited(**PATIENT, clock=f"file:{clock_file}")
    clock = SharedClock(clock_file)
    limited.worker(pool="prefork", concurrency=2)
    limited.worker(pool="threads", concurrency=2)
    # The time that passes by itself is little beside the hours of an interval: only what the test lets pass counts.
    limited.send("slow", SLOW)
    limited.wait_for_line(SLOW - SLOW_AT_ONCE)
    for starts in range(SLOW_AT_ONCE, SLOW):
        wait_until(lambda number=starts: limited.ended() >= number, 60.0, limited.describe)
        assert len(limited.bodies()) == starts
        clock.advance(SLOW_INTERVAL_MS)
    limited.wait_for_runs()
    limited.check_all_done()
    assert len(limited.bodies()) == SLOW


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_one_after_the_other_in_order(open_limited: OpenLimited) -> None:
    limited = open_limited(**PATIENT)
    limited.gate.touch()
    for _ in range(2):
        limited.worker(pool="threads", concurrency=2)
    limited.send("one", 60)
    limited.wait_for_line(59)
    limited.gate.unlink()
    limited.wait_for_runs()
    limited.check_all_done()
    bodies = limited.bodies()
    assert most_at_once(bodies) == 1
    made = _made(limited)
    # The first one to come went ahead while the others came.
    order = [made[body.run] for body in bodies[1:]]
    assert order == sorted(order)


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_who_has_priority_goes_first(open_limited: OpenLimited) -> None:
    limited = open_limited(**PATIENT)
    limited.gate.touch()
    limited.worker(pool="threads", concurrency=2)
    limited.send("boosted", 31, keys=3)
    limited.wait_for_line(30)
    limited.gate.unlink()
    limited.wait_for_runs()
    keys = [body.key for body in limited.bodies()][1:]
    # One of the ten may have been the first to come, which went ahead while the others came.
    boosted = keys.count("k1")
    assert boosted in (9, 10)
    assert keys[:boosted] == ["k1"] * boosted


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_a_flood_under_one_key_holds_nobody_else_up(open_limited: OpenLimited) -> None:
    limited = open_limited(**PATIENT)
    limited.gate.touch()
    for _ in range(2):
        limited.worker(pool="threads", concurrency=2)
    limited.send("fair", 80, keys=1)
    limited.wait_for_line(79)
    # Forty other keys come after the flood. In turn with it, all of them are through before half of it is.
    limited.send("fair", 1, keys=1)
    limited.send("fair", 40, keys=100)
    limited.wait_for_line(79 + 41)
    limited.gate.unlink()
    limited.wait_for_runs()
    limited.check_all_done()
    keys = [body.key for body in limited.bodies()]
    assert most_at_once(limited.bodies()) == 1
    last = max(index for index, key in enumerate(keys) if key != "k0")
    assert keys[: last + 1].count("k0") <= 4


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_two_functions_share_what_their_environment_allows(open_limited: OpenLimited) -> None:
    limited = open_limited(**PATIENT)
    limited.worker(pool="threads", concurrency=4)
    limited.send("left", 25, seconds=0.01)
    limited.send("right", 25, seconds=0.01)
    limited.wait_for_runs()
    limited.check_all_done()
    assert most_at_once(limited.bodies()) == 1


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_runs_are_limited_from_their_start_to_their_end(open_limited: OpenLimited) -> None:
    limited = open_limited(**PATIENT, slice=0)
    limited.worker(pool="threads", concurrency=4)
    limited.send("runs", 30, seconds=0.01)
    limited.wait_for_runs()
    limited.check_all_done()
    assert most_at_once(runs_of(limited.bodies())) == 2


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_who_sleeps_holds_nothing(open_limited: OpenLimited) -> None:
    limited = open_limited(**PATIENT)
    limited.worker(pool="threads", concurrency=4)
    limited.send("sleeper", 12)
    # Nobody has slept its hour, and all have had their turn at the one place.
    limited.wait_for_bodies(12)
    assert limited.ended() == 0
    assert most_at_once(limited.bodies()) == 1


@pytest.mark.pairs
def test_what_is_over_a_rate_is_skipped_and_says_so(open_limited: OpenLimited) -> None:
    limited = open_limited(**PATIENT)
    limited.worker(pool="threads", concurrency=4)
    limited.send("rated", 30)
    limited.wait_for_runs()
    # A tenth of twenty an hour and one at once.
    assert _statuses(limited) == {RunStatus.COMPLETED: 3, RunStatus.SKIPPED: 27}
    with redis.Redis.from_url(limited.redis_url) as client:
        forgotten = [key for key in client.scan_iter(f"{PREFIX}:*") if b"rate " in key]
        assert forgotten
        client.delete(*forgotten)
    # What Redis has forgotten is counted again from the runs.
    limited.send("rated", 10)
    limited.wait_for_runs()
    assert _statuses(limited) == {RunStatus.COMPLETED: 3, RunStatus.SKIPPED: 37}
    with limited.runtime.database.autocommit() as connection:
        reasons = set(connection.execute(sa.select(schema.run.c.reason)).scalars())
    assert reasons == {None, "RateLimited"}


@pytest.mark.databases("sqlite")
@pytest.mark.brokers("cluster")
def test_on_a_cluster(
    database_url: str, redis_url: str, brokers: Brokers, tmp_path: Path, start_worker: StartWorker
) -> None:
    limited = Limited(database_url, brokers("valkey").empty(), redis_url, tmp_path, start_worker, **PATIENT)
    limited.worker(pool="threads", concurrency=4)
    for function in ("three", "keyed", "left", "right", "runs"):
        limited.send(function, 20, keys=5, seconds=0.02)
    limited.send("paced", 40)
    limited.wait_for_runs()
    assert 2 <= most_at_once(limited.bodies("three")) <= 3
    assert most_at_once(limited.bodies("left", "right")) == 1
    assert most_at_once(runs_of(limited.bodies("runs"))) == 2
    assert most_begun_within(limited.bodies("paced"), 1.0) <= 25 + 20 + 1
    limited.close()


def _made(limited: Limited) -> dict[str, int]:
    run = schema.run
    with limited.runtime.database.autocommit() as connection:
        return {row.id: row.created_at for row in connection.execute(sa.select(run.c.id, run.c.created_at))}


def _statuses(limited: Limited) -> dict[RunStatus, int]:
    run = schema.run
    query = sa.select(run.c.status, sa.func.count()).group_by(run.c.status)
    with limited.runtime.database.autocommit() as connection:
        return {RunStatus(status): count for status, count in connection.execute(query)}
