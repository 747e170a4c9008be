"""The order in which steps ended is exact, whatever the clocks say, and every replay sees the same."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store import runs
from inngest_celery.testing import TravellingClock
from inngest_celery.worker.runs import RunInfo
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench

NAMES = "abcdefgh"


class StoppedClock(TravellingClock):
    """Stands still unless it is moved, so that all happens in the same millisecond."""

    def __init__(self) -> None:
        super().__init__()
        self.time = super().now()

    def now(self) -> int:
        return self.time

    def advance(self, milliseconds: int) -> None:
        self.time += milliseconds


def replay_order(bench: Bench, run: RunInfo) -> list[str]:
    """Give the names of a run's steps in the order in which a replay is given their results."""
    names = {step.id: step.name for step in bench.steps(run)}
    with bench.database.autocommit() as connection:
        return [names[key] for key in runs.memos(connection, run.id)]


@pytest.mark.parametrize("skew", [0, 5], ids=["same millisecond", "clocks that disagree"])
def test_a_race_has_the_same_winner_in_every_replay(bench: Bench, skew: int) -> None:
    ended: list[str] = []
    clock = StoppedClock()
    begin = clock.time

    def body(name: str) -> str:
        ended.append(name)
        # Every next one seems to end before all others.
        clock.time = begin + skew * (len(NAMES) - len(ended))
        return name

    @bench.function()
    async def fn(ctx: inngest.Context) -> list[str]:
        async def branch(name: str) -> str:
            return str(await ctx.step.run(name, body, name))

        order = [await each for each in asyncio.as_completed([branch(name) for name in NAMES])]
        await ctx.step.sleep("cold", timedelta(hours=1))
        return order

    bench.inline.clock = runtime_of(bench.app).__dict__["clock"] = clock
    run = bench.run()
    assert sorted(ended) == list(NAMES)
    assert replay_order(bench, run) == ended
    bench.advance(hours=2)
    assert bench.get(run).output == ended


def test_every_kind_of_outcome_has_its_place(bench: Bench) -> None:
    @bench.function("callee", trigger=inngest.TriggerEvent(event="test/other"))
    async def callee(ctx: inngest.Context) -> str:
        return "called"

    @bench.function(retries=1)
    async def fn(ctx: inngest.Context) -> Any:
        def fail() -> None:
            raise ValueError

        await ctx.step.run("one", lambda: 1)
        await ctx.step.sleep("two", timedelta(hours=1))
        await ctx.step.invoke("three", function=callee)
        await ctx.step.wait_for_event("four", event="test/ready", timeout=timedelta(days=1))
        await ctx.step.wait_for_event("five", event="test/never", timeout=timedelta(days=1))
        try:
            await ctx.step.run("six", fail)
        except inngest.StepError:
            await asyncio.gather(ctx.step.run("seven", lambda: 7), ctx.step.sleep("eight", timedelta(hours=1)))
        await ctx.step.run("nine", lambda: 9)

    run = bench.run()
    bench.advance(hours=2)
    bench.send("test/ready")
    bench.finish(run)
    names = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    assert [(step.seq, step.name) for step in bench.steps(run)] == list(enumerate(names, start=1))
    assert replay_order(bench, run) == names
