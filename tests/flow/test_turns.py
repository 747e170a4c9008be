"""Who waits for the same thing takes turns: a flood under one key is one turn in another's way, and no more."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inngest_celery.flow.gate import Gate
from tests.flow.world import Limits, Spec, World, entering

_ALL = "f:all"


def _spec(policy: str, own_limit: int) -> Spec:
    own = ("concurrency.0", "f:own:{key}")
    limits: Limits = {"concurrency.0": {"limit": own_limit}, policy: {"limit": 2}}
    if policy == "run_concurrency.0":
        return Spec("f", (own,), ((policy, _ALL),), limits)
    return Spec("f", (own, (policy, _ALL)), (), limits)


def _queue(world: World, resource: str) -> list[str]:
    """The keys whose jobs wait for it, as the turns will be."""
    waiting = world.dump().get(f"wait:{resource}", {})
    return [member.split("f:own:")[1][0] for member in waiting]


@pytest.mark.parametrize("policy", ["concurrency.1", "run_concurrency.0"])
@given(
    own_limit=st.sampled_from([1, 2, 100]),
    sizes=st.lists(st.integers(1, 8), min_size=2, max_size=6),
    ends=st.lists(st.integers(0, 9), min_size=48, max_size=48),
)
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_keys_take_turns(gate: Gate, policy: str, own_limit: int, sizes: list[int], ends: list[int]) -> None:
    spec, world = _spec(policy, own_limit), World(gate)
    try:
        world.open([spec])
        for number, size in enumerate(sizes):
            for at in range(size):
                world.do(entering(spec.place(f"{number}.{at}", "start", str(number), 0, starts=True)))
        done = 0
        while world.hints:
            job = world.hints.pop(ends[done] % len(world.hints))
            run, key = job.partition("/")[0], job[0]
            place = spec.place(run, "start", key, 0, starts=True)
            world.do(["begin", job, place.line, 0, "worker", 1000])
            before = _queue(world, _ALL) + _queue(world, f"f:own:{key}")
            called = world.do(["release", job, "worker"], ["leave", run, _ALL]).called
            busy = Counter(each[0] for each in world.hints if each not in called)
            may = [each for each in before if busy[each] < own_limit]
            assert [each[0] for each in called] == may[:1]
            if called:
                # It comes again after all others who waited.
                others = before[before.index(may[0]) + 1 :]
                assert _queue(world, _ALL)[: len(others)] == others
            done += 1
        assert done == sum(sizes)
    finally:
        world.clear()
