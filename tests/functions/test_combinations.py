"""Policies beside each other: some are refused together, all others work together."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.spec import FunctionSpec
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker import routing
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")

HOUR_MS = 3_600_000
POLICIES: dict[str, Any] = {
    "batch_events": inngest.Batch(max_size=2, timeout=60_000),
    "cancel": [inngest.Cancel(event="test/stop")],
    "concurrency": [inngest.Concurrency(limit=1)],
    "debounce": inngest.Debounce(period=60_000),
    "idempotency": "event.data.order",
    "priority": inngest.Priority(run="event.data.priority"),
    "rate_limit": inngest.RateLimit(limit=1, period=HOUR_MS),
    "singleton": inngest.Singleton(mode="skip"),
    "throttle": inngest.Throttle(limit=1, period=HOUR_MS),
}
PAIRS = list(itertools.combinations(POLICIES, 2))
REFUSED = {
    ("batch_events", "cancel"),
    ("batch_events", "debounce"),
    ("batch_events", "priority"),
    ("batch_events", "singleton"),
}


@pytest.fixture
def one_a_bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose rate limits let the first event of a function through, and no other."""
    asked: dict[str, str] = {}

    def first_only(spec: FunctionSpec, arrival: Arrival) -> bool:
        bench.calls["asked"] += 1
        return asked.setdefault(spec.id, arrival.event.id) == arrival.event.id

    monkeypatch.setattr(routing, "no_rate_limit", first_only)
    return bench


@pytest.mark.parametrize("pair", sorted(REFUSED), ids="+".join)
def test_refused(bench: Bench, pair: tuple[str, str]) -> None:
    with pytest.raises(inngest.FunctionConfigInvalidError, match="cannot be combined with batch_events") as raised:
        bench.function(**{name: POLICIES[name] for name in pair})(lambda ctx: None)
    assert (raised.value.code, raised.value.path) == ("combo_unsupported", pair[1])


def expected(names: set[str]) -> list[str]:
    """What becomes of two events, the second of which is like the first: the first policy that minds decides."""
    if "batch_events" in names or ("debounce" in names and ("rate_limit" not in names or "idempotency" in names)):
        return ["COMPLETED"]
    if "idempotency" in names:
        # Takes the place of a rate limit, and comes before a singleton: the same is no second run.
        return ["COMPLETED"]
    if {"rate_limit", "singleton"} & names:
        return ["COMPLETED", "SKIPPED"]
    return ["COMPLETED", "COMPLETED"]


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair not in REFUSED], ids="+".join)
def test_accepted(one_a_bench: Bench, pair: tuple[str, str]) -> None:
    bench = one_a_bench

    @bench.function(**{name: POLICIES[name] for name in pair})
    async def fn(ctx: inngest.Context) -> int:
        await ctx.step.sleep("nap", 60_000)
        return len(ctx.events)

    for _ in range(2):
        bench.send(order=1, priority=60)
    bench.advance(hours=2)
    runs = bench.inline.runs.list()
    assert sorted(run.status.name for run in runs) == expected(set(pair))
    if "batch_events" in pair:
        assert [run.output for run in runs] == [2]
    if {"concurrency", "throttle"} & set(pair):
        assert all(run.status is RunStatus.SKIPPED or run.started_at for run in runs)
    limited = "rate_limit" in pair and not {"batch_events", "idempotency"} & set(pair)
    assert bench.calls["asked"] == (2 if limited else 0)


def test_everything_at_once(one_a_bench: Bench) -> None:
    bench = one_a_bench

    @bench.function(**{name: policy for name, policy in POLICIES.items() if name != "batch_events"})
    async def fn(ctx: inngest.Context) -> object:
        await ctx.step.sleep("nap", HOUR_MS)
        return ctx.event.data["number"]

    for number in range(3):
        bench.send(order=number % 2, number=number)
    bench.advance(minutes=1)
    [run] = bench.inline.runs.list()
    assert run.status is RunStatus.RUNNING
    [row] = bench.rows(schema.run)
    assert row.idempotency_key
    assert row.singleton_key
    bench.send(order=1, number=3)
    bench.advance(minutes=1)
    [skipped, _] = bench.inline.runs.list()
    assert skipped.reason == f"Singleton: run {run.id} has not ended"
    bench.send(order=0, number=4)
    bench.advance(minutes=1)
    assert len(bench.inline.runs.list()) == 2, "the same order again"
    bench.send("test/stop")
    assert bench.get(run).status is RunStatus.CANCELLED


# The rate limit's seam


def test_what_is_over_the_rate_is_recorded(one_a_bench: Bench) -> None:
    bench = one_a_bench

    @bench.function(rate_limit=inngest.RateLimit(limit=1, period=HOUR_MS))
    async def fn(ctx: inngest.Context) -> None: ...

    assert [bench.run().status.name for _ in range(2)] == ["COMPLETED", "SKIPPED"]
    assert bench.inline.runs.list()[0].reason == "RateLimited"


def test_a_call_that_is_over_the_rate_fails(one_a_bench: Bench) -> None:
    bench = one_a_bench

    @bench.function(rate_limit=inngest.RateLimit(limit=1, period=HOUR_MS))
    async def fn(ctx: inngest.Context) -> None: ...

    @bench.function("caller", trigger=inngest.TriggerEvent(event="test/call"), retries=0)
    async def caller(ctx: inngest.Context) -> None:
        await ctx.step.invoke_by_id("call", function_id="fn")

    bench.run("test/call")
    assert bench.error(bench.run("test/call"))["message"] == "invoked function is rate limited"


def test_the_rate_is_not_asked_for_ticks_or_debounced_runs(one_a_bench: Bench) -> None:
    bench = one_a_bench
    trigger = [inngest.TriggerEvent(event="test/go"), inngest.TriggerCron(cron="0 * * * *")]

    @bench.function(
        trigger=trigger,
        rate_limit=inngest.RateLimit(limit=1, period=HOUR_MS),
        debounce=inngest.Debounce(period=60_000),
    )
    async def fn(ctx: inngest.Context) -> str:
        return ctx.event.name

    # Ten minutes past the hour: a tick in the event's minute would take its place.
    bench.advance(milliseconds=HOUR_MS - bench.now % HOUR_MS + HOUR_MS / 6)
    bench.send()
    bench.advance(hours=2)
    assert bench.calls["asked"] == 1
    assert {run.output for run in bench.inline.runs.list()} == {"test/go", "inngest/scheduled.timer"}


def test_the_rate_is_not_asked_for_a_paused_function(one_a_bench: Bench) -> None:
    bench = one_a_bench

    @bench.function(rate_limit=inngest.RateLimit(limit=1, period=HOUR_MS))
    async def fn(ctx: inngest.Context) -> None: ...

    bench.inline  # noqa: B018
    bench.client.control.pause("app-fn")
    assert bench.run().reason == "FunctionPaused"
    assert bench.calls["asked"] == 0
