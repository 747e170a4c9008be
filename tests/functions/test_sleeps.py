"""step.sleep and step.sleep_until."""

from __future__ import annotations

import datetime
from datetime import timedelta
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store.rows import RunStatus
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")
SLACK = 10_000


@pytest.mark.databases("sqlite", "postgres", "mariadb")
@pytest.mark.parametrize("duration", [0, 1, 1500, timedelta(days=3), timedelta(days=366)])
def test_sleep(bench: Bench, duration: Any) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> list[int]:
        before = await ctx.step.run("before", lambda: bench.now)
        await ctx.step.sleep("nap", duration)
        return [before, await ctx.step.run("after", lambda: bench.now)]

    ms = duration if isinstance(duration, int) else round(duration.total_seconds() * 1000)
    before, after = bench.output()
    assert ms <= after - before <= ms + SLACK


def test_a_sleeping_run_is_not_woken_early(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", timedelta(hours=2))

    run = bench.run()
    bench.advance(hours=1, minutes=59)
    assert bench.get(run).status is RunStatus.RUNNING
    bench.advance(minutes=1)
    assert bench.get(run).status is RunStatus.COMPLETED


@pytest.mark.parametrize("zone", [datetime.UTC, datetime.timezone(timedelta(hours=5)), None])
def test_sleep_until(bench: Bench, zone: datetime.tzinfo | None) -> None:
    instants: list[datetime.datetime] = []

    @bench.function()
    async def fn(ctx: inngest.Context) -> int:
        await ctx.step.sleep_until("nap", instants[0])
        return bench.now

    at = bench.now + 36_000_123
    instants.append(datetime.datetime.fromtimestamp(at / 1000, zone))
    assert at <= bench.output() <= at + SLACK


def test_sleep_until_the_past_goes_on_at_once(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        await ctx.step.sleep_until("nap", datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC))
        return "awake"

    assert bench.run().output == "awake"


@pytest.mark.parametrize(
    ("duration", "code"),
    [(timedelta(days=366, milliseconds=1), "timeout_too_long"), (-1, "step_invalid"), ("3 days", "step_invalid")],
)
def test_impossible_sleeps(bench: Bench, duration: Any, code: str) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", duration)

    run = bench.run()
    assert run.status is RunStatus.FAILED
    assert run.output["code"] == code


def test_sleep_until_more_than_366_days_ahead_is_refused(bench: Bench) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> None:
        ahead = datetime.datetime.fromtimestamp(bench.now / 1000, datetime.UTC) + timedelta(days=367)
        await ctx.step.sleep_until("nap", ahead)

    run = bench.run()
    assert run.status is RunStatus.FAILED
    assert run.output["code"] == "timeout_too_long"


def test_many_sleeps_in_a_row(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> int:
        for _ in range(10):
            await ctx.step.sleep("nap", timedelta(days=1))
        return bench.now

    start = bench.now
    assert bench.output() >= start + 10 * 86_400_000
