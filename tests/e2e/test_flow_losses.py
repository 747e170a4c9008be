"""What flow control keeps in Redis gets lost, Redis is away, workers die and freeze: nothing is lost, limits hold."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest
import redis

from inngest_celery.store import limits, schema
from inngest_celery.worker import hints
from tests.e2e.conftest import OpenLimited
from tests.e2e.limited import LEASE, Limited, most_at_once, most_begun_within, runs_of
from tests.own_redis import OwnRedis
from tests.waiting import wait_until

T = TypeVar("T", bound=Callable[..., None])


def two_ways(test: T) -> T:
    """Run a test on the embedded stack, and on servers of one's own."""
    return pytest.mark.pairs(pytest.mark.databases("sqlite", "postgres")(test))


# More than two leases, so that whatever was held has run out.
AWAY = 2.5 * LEASE
_ECHOES = 10
LIMITED = ("three", "keyed", "runs", "paced")


def load(limited: Limited, number: int) -> None:
    """Start so many runs of each function."""
    for function in (*LIMITED, "free"):
        limited.send(function, number, keys=5, seconds=0.01)


def check_limits(limited: Limited, *, lost: Iterable[float] = (), frozen: Iterable[int] = ()) -> None:
    """Assert that no limit was exceeded.

    Args:
        lost: when Redis forgot who holds places. It may be wrong about that for a lease.
        frozen: processes that were frozen for longer than a lease: their places were given to others.
    """
    but = [(at, at + LEASE) for at in lost]

    def most(function: str, key: str | None = None) -> int:
        bodies = [body for body in limited.bodies(function) if key in (None, body.key) and body.process not in frozen]
        return most_at_once(runs_of(bodies) if function == "runs" else bodies, but=but)

    assert most("three") <= 3
    assert most("keyed") <= 4
    assert all(most("keyed", f"k{number}") <= 1 for number in range(5))
    assert most("runs") <= 2
    assert most_begun_within(limited.bodies("paced"), 1.0) <= 20 + 5 + 20


@two_ways
def test_redis_forgets_everything(open_limited: OpenLimited) -> None:
    limited = open_limited()
    workers = [
        limited.worker(pool="prefork", concurrency=2),
        limited.worker(pool="threads", concurrency=4, slice=0),
    ]
    load(limited, 15)
    lost = []
    with redis.Redis.from_url(limited.redis_url) as client:
        for seen in (10, 60, 120):
            limited.wait_for_bodies(seen)
            # Where it is the broker too, all messages go with it.
            client.flushdb()
            lost.append(time.time())
            client.script_flush()
    limited.wait_for_runs()
    limited.check_all_done()
    check_limits(limited, lost=lost)
    # Whoever holds places is told of after the limits are: no task stumbles over that.
    assert [worker.log for worker in workers if "raised unexpected" in worker.log] == []


@pytest.mark.pairs
@pytest.mark.databases("sqlite")
def test_redis_is_killed(open_limited: OpenLimited, own_redis: OwnRedis) -> None:
    be_without_redis(open_limited(limits_in=own_redis.url), own_redis.kill, own_redis.start)


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_redis_freezes(open_limited: OpenLimited, own_redis: OwnRedis) -> None:
    be_without_redis(open_limited(limits_in=own_redis.url), own_redis.freeze, own_redis.thaw)


def be_without_redis(limited: Limited, go: Callable[[], None], come_back: Callable[[], None]) -> None:
    limited.worker(pool="prefork", concurrency=2)
    limited.worker(pool="threads", concurrency=4, slice=0)
    load(limited, 15)
    limited.wait_for_bodies(20)
    go()
    away = time.time()
    # What comes meanwhile, and what is due: it waits, and what has no limit does not.
    load(limited, 5)
    limited.wait_for_runs("free", timeout=15)
    wait_until(lambda: time.time() > away + AWAY, 2 * AWAY, message="a while")
    come_back()
    back = time.time()
    limited.wait_for_runs()
    limited.check_all_done()
    # Who was given its places when Redis went may have begun a moment later; after that nobody did.
    begun_meanwhile = {body.run for body in limited.bodies(*LIMITED) if away < body.began < back}
    assert len(begun_meanwhile) <= 2 + 4
    assert not [body for body in limited.bodies(*LIMITED) if away + LEASE < body.began < back]
    check_limits(limited, lost=[back])


PLACES = (
    "route_after_commit",
    "gate_entered",
    "gate_begun",
    "after_checkpoint",
    "gate_released",
    "restoring",
    "sweep_after_commit",
)


@two_ways
def test_a_crash_at_any_boundary(open_limited: OpenLimited) -> None:
    limited = open_limited()
    workers = [limited.worker(pool="prefork", concurrency=1, slice=slice_seconds) for slice_seconds in (0.25, 0.25, 0)]
    lost = []
    for place in PLACES:
        load(limited, 2)
        limited.order_crash(place)
        if place == "restoring":
            with redis.Redis.from_url(limited.redis_url) as client:
                client.flushdb()
            lost.append(time.time())
        limited.wait_for_crash(place)
        # A main process comes to some of the places, too: to send hints, or to see to what a child has left behind.
        dead = [worker for worker in workers if not worker.alive]
        workers = [worker for worker in workers if worker not in dead]
        workers += [limited.worker(pool="prefork", concurrency=1, slice=0.25) for _ in dead]
    limited.wait_for_runs()
    limited.check_all_done()
    check_limits(limited, lost=lost)


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_a_worker_dies_with_its_places(open_limited: OpenLimited) -> None:
    limited = open_limited()
    doomed = limited.worker(pool="prefork", concurrency=3)
    limited.gate.touch()
    limited.send("three", 6)
    limited.wait_for_bodies(3)
    limited.send("runs", 4)
    limited.worker(pool="threads", concurrency=4)
    limited.wait_for_bodies(3 + 2)
    assert len({body.run for body in limited.bodies("three")}) == 3
    doomed.sigkill()
    died = time.time()
    limited.gate.unlink()
    # All places of this function were the dead worker's: none is free before its lease is over.
    wait_until(lambda: any(body.began > died for body in limited.bodies("three")), 4 * LEASE, limited.describe)
    limited.wait_for_runs()
    limited.check_all_done()
    check_limits(limited)


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_a_worker_freezes_past_its_lease(open_limited: OpenLimited) -> None:
    limited = open_limited()
    frozen = limited.worker(pool="threads", concurrency=6)
    limited.gate.touch()
    limited.send("three", 12)
    limited.send("keyed", 12, keys=5)
    limited.send("runs", 6)
    limited.wait_for_bodies(4)
    # Not while it writes: SQLite has one lock for all writers, which nobody takes from a frozen process.
    with limited.runtime.database.transaction():
        frozen.sigstop()
    limited.gate.unlink()
    limited.worker(pool="threads", concurrency=4, slice=0)
    limited.wait_for_runs()
    frozen.sigcont()
    wait_until(lambda: "was not recorded" in frozen.log, message="a late result to be refused")
    limited.send("three", 6, seconds=0.02)
    limited.wait_for_runs()
    limited.check_all_done()
    check_limits(limited, frozen=[frozen.pid])


@pytest.mark.pairs
def test_the_broker_forgets_whose_turn_it_is(open_limited: OpenLimited, own_redis: OwnRedis) -> None:
    limited = open_limited(limits_in=own_redis.url)
    limited.gate.touch()
    limited.worker(pool="solo", options=["--prefetch-multiplier=1"])
    # All are routed before the first message for a step is reached; three are called, the others wait in line.
    limited.send("three", 8)
    limited.wait_for_bodies(1)
    assert limited.purge() > 0
    limited.gate.unlink()
    limited.wait_for_runs()
    limited.check_all_done()
    check_limits(limited)


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_runs_are_cancelled_in_line(open_limited: OpenLimited) -> None:
    limited = open_limited()
    limited.gate.touch()
    limited.worker(pool="threads", concurrency=3)
    events = limited.send("one", 6, keys=6)
    limited.wait_for_bodies(1)
    wait_until(lambda: limited.count(schema.run) == 6, message="all runs to be there")
    (holder,) = {body.key for body in limited.bodies()}
    by_event, by_call = [number for number in range(6) if f"k{number}" != holder][:2]
    limited.stop_runs(f"k{by_event}")
    (run,) = limited.client.runs.of_event(events[by_call])
    limited.client.runs.cancel(run.id)
    wait_until(lambda: limited.ended() == 2, message="the cancellations")
    limited.gate.unlink()
    limited.wait_for_runs()
    limited.check_all_done(cancelled=2)
    assert len(limited.bodies()) == 4


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_a_run_that_owns_a_place_is_cancelled(open_limited: OpenLimited) -> None:
    limited = open_limited()
    limited.gate.touch()
    limited.worker(pool="threads", concurrency=6)
    limited.send("runs", 6, keys=6)
    limited.wait_for_bodies(2)
    wait_until(lambda: limited.count(schema.run) == 6, message="all runs to be there")
    stopped = limited.bodies()[0]
    limited.stop_runs(stopped.key)
    # Its body goes on; its place among the runs is free for the next.
    limited.wait_for_bodies(3)
    limited.gate.unlink()
    limited.wait_for_runs()
    limited.check_all_done(cancelled=1)
    assert most_at_once(runs_of(body for body in limited.bodies() if body.run != stopped.run)) <= 2


@pytest.mark.pairs
@pytest.mark.databases("sqlite")
def test_a_hot_run_outlasts_its_lease(open_limited: OpenLimited) -> None:
    limited = open_limited(slice=30)
    for _ in range(2):
        limited.worker(pool="solo")
    limited.send("long", 2, seconds=0.1)
    limited.wait_for_runs()
    limited.check_all_done()
    assert most_at_once(limited.bodies()) == 1


@pytest.mark.pairs
@pytest.mark.databases("postgres")
def test_every_message_comes_again_and_again(open_limited: OpenLimited) -> None:
    limited = open_limited()
    ended = threading.Event()
    echo = threading.Thread(target=repeat_hints, args=(limited, ended))
    echo.start()
    try:
        limited.worker(pool="threads", concurrency=6)
        for function in ("three", "keyed", "runs"):
            limited.send(function, 8, keys=5, seconds=0.05)
        limited.wait_for_runs()
    finally:
        ended.set()
        echo.join()
    limited.check_all_done()
    check_limits(limited)


def repeat_hints(limited: Limited, ended: threading.Event) -> None:
    """Send another message for every limited job there is, whoever's turn it is, up to ten for each.

    Without end it would be more than a slow machine's workers take up.
    """
    runtime, sent = limited.runtime, Counter[tuple[str, str]]()
    while not ended.wait(0.05):
        with runtime.database.autocommit() as connection:
            jobs = list(limits.limited_jobs(connection, [f"limited-{name}" for name in LIMITED], runtime.clock.now()))
        jobs = [job for job in jobs if sent[job.subject_id, job.key] < _ECHOES]
        sent.update((job.subject_id, job.key) for job in jobs)
        hints.send(runtime, jobs)


@pytest.mark.pairs
@pytest.mark.databases("sqlite")
def test_nobody_polls(open_limited: OpenLimited, own_redis: OwnRedis, capsys: pytest.CaptureFixture[str]) -> None:
    waiting, seconds = 500, 3.0
    limited = open_limited(limits_in=own_redis.url, count_statements=True)
    limited.gate.touch()
    limited.worker(pool="threads", concurrency=2)
    limited.send("one", waiting + 1)
    # Each is looked at once, half a second after it came, and then not for minutes.
    wait_until(lambda: limited.looked_at_later() == waiting, 30.0, limited.describe)
    with redis.Redis.from_url(limited.broker_url) as broker:
        # The one message that is left is that of the body which does not end.
        wait_until(lambda: broker.llen("celery") == 0 and broker.hlen("unacked") == 1, 30.0, "an empty queue")
    statements, commands, began = limited.statements(), own_redis.commands(), time.monotonic()
    wait_until(lambda: time.monotonic() - began > seconds, seconds + 1, "some seconds")
    minutes = (time.monotonic() - began) / 60
    statements, commands = limited.statements() - statements, own_redis.commands() - commands
    limited.gate.unlink()
    with capsys.disabled():
        print(
            f"\n{waiting} jobs in line: {statements / minutes / waiting:.2f} SQL statements and "
            f"{commands / minutes / waiting:.2f} Redis commands a minute for each, sweeping 10 times a second"
        )
    # What there is comes from the sweeps and from the one place that is held, however many wait for it.
    assert statements < waiting / 2
    assert commands < waiting
