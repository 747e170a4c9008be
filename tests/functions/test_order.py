"""The order in which steps ended is exact, whatever the clocks say, and every replay sees the same."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store import runs
from inngest_celery.worker.runs import RunInfo
from tests.functions.bench import Bench

NAMES = "abcdefgh"


def replay_order(bench: Bench, run: RunInfo) -> list[str]:
    """Give the names of a run's steps in the order in which a replay is given their results."""
    names = {step.id: step.name for step in bench.steps(run)}
    with bench.database.autocommit() as connection:
        return [names[key] for key in runs.memos(connection, run.id)]


@pytest.mark.parametrize("skew", [0, 5], ids=["same millisecond", "clocks that disagree"])
def test_a_race_has_the_same_winner_in_every_replay(bench: Bench, skew: int) -> None:
    ended: list[str] = []

    def body(name: str) -> str:
        # Every next one seems to end before all others.
        bench.inline.clock.advance(-skew if ended else skew * (len(NAMES) - 1))
        ended.append(name)
        return name

    @bench.function()
    async def fn(ctx: inngest.Context) -> list[str]:
        async def branch(name: str) -> str:
            return str(await ctx.step.run(name, body, name))

        order = [await each for each in asyncio.as_completed([branch(name) for name in NAMES])]
        await ctx.step.sleep("cold", timedelta(hours=1))
        return order

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
