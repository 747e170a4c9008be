"""What flow control costs Redis: commands and round trips a job, memory a key, time a script. ``-s`` prints it."""

from __future__ import annotations

from typing import Any

import pytest

from inngest_celery.flow.gate import Gate
from tests.flow.world import START, TAG, Spec, World, entering

pytestmark = pytest.mark.brokers("valkey")  # a server of our own: nobody else is counted

_ALL_POLICIES = Spec(
    "f",
    (("concurrency.0", "f:own:{key}"), ("concurrency.1", "f:all")),
    (("throttle", "f:throttle:{key}"), ("run_concurrency.0", "f:runs")),
    {
        "concurrency.0": {"limit": 1},
        "concurrency.1": {"limit": 10},
        "throttle": {"limit": 1000, "period": 1000, "burst": 0},
        "run_concurrency.0": {"limit": 1000},
    },
)
_ONE_LIMIT = Spec("f", (("concurrency.0", "f:all"),), (), {"concurrency.0": {"limit": 10}})
_KEYS = 10_000
_BATCH = 500


def _commands(gate: Gate) -> dict[str, int]:
    stats: dict[str, Any] = gate.client.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items() if "info" not in name}


def _costs(gate: Gate, spec: Spec, jobs: int) -> tuple[float, float]:
    """Commands and round trips a job that enters, begins and is released, while others wait."""
    world = World(gate)
    world.open([spec])
    places = {place.job: place for place in (spec.place(f"r{at}", "s", "k", at, starts=True) for at in range(jobs))}
    before = _commands(gate)
    for place in places.values():
        world.do(entering(place))
    done = 0
    while world.hints:
        job = world.hints.pop(0)
        world.do(["begin", job, places[job].line, places[job].score, "w", 60_000])
        world.do(["release", job, "w"], ["leave", job.partition("/")[0], "f:runs"])
        done += 1
    after = _commands(gate)
    assert done == jobs
    counts = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    trips = counts["evalsha"]
    return (sum(counts.values()) - trips) / jobs, trips / jobs


@pytest.mark.parametrize(("spec", "most"), [(_ONE_LIMIT, 70), (_ALL_POLICIES, 100)], ids=["one limit", "four limits"])
def test_commands_a_job(gate: Gate, spec: Spec, most: int) -> None:
    commands, trips = _costs(gate, spec, 400)
    print(f"\n{len(spec.limits)} limits: {commands:.1f} commands, {trips:.2f} scripts a job")
    assert commands <= most
    # It enters, begins, and is released; whoever looks for what is due is shared by all.
    assert trips <= 3.1


def test_ten_thousand_keys(gate: Gate) -> None:
    """They wait, all at once; are let through in bounded pieces; and leave next to nothing."""
    world = World(gate)
    world.open([_ALL_POLICIES])
    spec = _ALL_POLICIES
    places = [spec.place(f"{at:020}", "0123456789abcdef0123", f"{at:020}", START, starts=True) for at in range(_KEYS)]
    empty = _used(gate)
    for at in range(0, _KEYS, _BATCH):
        world.do(*(entering(place) for place in places[at : at + _BATCH]))
    waiting = _used(gate)
    assert len(world.hints) == 10
    most = 0
    world.do(["set", "f", "concurrency.1", '{"limit": 100000}'])
    world.do(["set", "f", "run_concurrency.0", '{"limit": 100000}'])
    while len(world.hints) < _KEYS:
        called = len(world.hints)
        world.now += 1
        world.look()
        most = max(most, len(world.hints) - called)
        assert len(world.hints) > called
    assert sorted(world.hints) == [place.job for place in places]
    slow: Any = gate.client.slowlog_get(100)
    longest = max((each["duration"] for each in slow), default=0) / 1000
    for at in range(0, _KEYS, _BATCH):
        for operation in ("begin", "release"):
            world.do(*_operations(operation, places[at : at + _BATCH]))
    while (due := world.look()) is not None:
        world.now = due
    left = world.dump()
    assert {name.partition(":")[0] for name in left} <= {"limits", "set", "alive", "turn", "armed", "tat"}
    throttles = [name for name in left if name.startswith("tat:")]
    assert len(throttles) == _KEYS
    idle = gate.client.memory_usage(f"{gate.stem(TAG)}:{throttles[0]}")
    each = (waiting - empty) / _KEYS
    print(f"\n{each:.0f} bytes a waiting key, {idle} an idle one; {most} calls, {longest:.0f} ms a script at most")
    assert most <= 1000
    assert idle is not None
    assert idle <= 250
    assert each <= 2500


def _operations(name: str, places: list[Any]) -> list[list[Any]]:
    if name == "begin":
        return [["begin", place.job, place.line, place.score, "w", 60_000] for place in places]
    return [
        each
        for place in places
        for each in (["release", place.job, "w"], ["leave", place.job.partition("/")[0], "f:runs"])
    ]


def _used(gate: Gate) -> int:
    info: dict[str, Any] = gate.client.info("memory")
    return int(info["used_memory"])
