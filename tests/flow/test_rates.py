"""Rate limits let through what GCRA does: so many at once, then one an interval; and drop the rest."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inngest_celery.engine.spec import Rate
from inngest_celery.flow.gate import Gate, Lost
from inngest_celery.flow.rates import RateLimits
from tests.flow.world import START

# Milliseconds; see rate_limit.lua.
EPSILON = 0.001
_EVENTS = st.lists(st.tuples(st.integers(0, 400), st.sampled_from("ab"), st.booleans()), min_size=10, max_size=60)


@given(limit=st.integers(1, 30), period=st.integers(1000, 5000), events=_EVENTS, lost_after=st.integers(5, 80))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_what_a_rate_limit_lets_through(
    gate: Gate, limit: int, period: int, events: list[tuple[int, str, bool]], lost_after: int
) -> None:
    """Exactly: also where the same event is asked about twice, and where Redis has forgotten what started."""
    rates, rate = RateLimits(gate.client, "rates"), Rate(limit, period, 0, None)
    interval, at_once = period / limit, limit // 10 + 1
    gate.client.flushdb()
    rates.restore("f", rate, [], START)
    now, arrival, started = START, {"a": 0.0, "b": 0.0}, list[tuple[str, int]]()
    for number, (passed, key, twice) in enumerate(events):
        now += passed
        if number == lost_after:
            gate.client.flushdb()
            with pytest.raises(Lost):
                rates.admits("f", rate, key, "event", now)
            for _ in range(2):
                rates.restore("f", rate, started, now)
        next_arrival = max(arrival[key], now) + interval
        admitted = next_arrival - now <= interval * at_once + EPSILON
        if admitted:
            arrival[key] = next_arrival
            started.append((key, now))
        for _ in range(1 + twice):
            assert rates.admits("f", rate, key, f"event {number}", now) == admitted
    for key in "ab":
        times = [at for named, at in started if named == key]
        for index, first in enumerate(times):
            assert len(times) - index <= at_once + (times[-1] - first + EPSILON) / interval


def test_a_limit_that_is_set_holds_until_it_expires(gate: Gate) -> None:
    rates, rate = RateLimits(gate.client, "rates"), Rate(1, 1000, 0, None)
    rates.restore("f", rate, [], START)
    rates.set("f", json.dumps({"limit": 20, "period": 1000, "until": START + 10_000}), START)
    said = [rates.admits("f", rate, "r", f"event {at}", START) for at in range(4)]
    assert said == [True, True, True, False]
    said = [rates.admits("f", rate, "r", f"late {at}", START + 10_000) for at in range(2)]
    assert said == [True, False]
    rates.set("f", '{"limit": 20, "period": 1000}', START + 20_000)
    rates.set("f", None, START + 20_000)
    said = [rates.admits("f", rate, "r", f"later {at}", START + 20_000) for at in range(2)]
    assert said == [True, False]


def test_what_started_counts_at_the_rate_that_holds(gate: Gate) -> None:
    rates, rate = RateLimits(gate.client, "rates"), Rate(1, 3_600_000, 0, None)
    rates.restore("f", rate, [], START)
    assert [rates.admits("f", rate, "r", f"event {at}", START) for at in range(2)] == [True, False]
    # One start of eleven that may come at once, and not an hour's debt.
    rates.set("f", '{"limit": 100, "period": 3600000}', START)
    assert [rates.admits("f", rate, "r", f"more {at}", START) for at in range(11)] == [True] * 10 + [False]
    # Nor do eleven of them fill eleven hours.
    rates.set("f", None, START)
    assert not rates.admits("f", rate, "r", "less", START)
    assert rates.admits("f", rate, "r", "an hour later", START + 3_600_000)
