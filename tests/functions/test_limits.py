"""Limits: how many steps, how much a step, how much a run."""

from __future__ import annotations

from typing import Any

import pytest

import inngest_celery as inngest
from tests.functions.bench import Bench

MIB = 1024 * 1024

pytestmark = pytest.mark.databases("sqlite")


def test_a_thousand_steps_are_allowed(bench: Bench) -> None:
    if not bench.hot:
        pytest.skip("a thousand replays of a thousand steps tell nothing more")

    @bench.function()
    async def fn(ctx: inngest.Context) -> int:
        for number in range(1000):
            await ctx.step.run(str(number), lambda: None)
        return 1000

    assert bench.output() == 1000


def test_one_more_is_not(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        steps = [lambda number=number: ctx.step.sleep(str(number), 1000) for number in range(1001)]
        await ctx.group.parallel(tuple(steps))

    error = bench.error()
    assert (error["name"], error["code"]) == ("InngestErrFunctionOverflowed", "function_overflowed")


@pytest.mark.parametrize("character", ["x", "ü"])
def test_a_step_over_4_mib_fails_the_run_and_cannot_be_caught(bench: Bench, character: str) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> str:
        try:
            await ctx.step.run("big", lambda: character * (4 * MIB // len(character.encode()) + 1))
        except Exception:  # noqa: BLE001  what users write
            return "caught"
        return "went on"

    run = bench.run()
    error = bench.error(run)
    assert (error["name"], error["code"]) == ("InngestErrStepOutputTooLarge", "output_too_large")
    assert '"big"' in error["message"]
    assert not bench.steps(run), "what is too large is not stored"


def test_a_run_over_32_mib_fails(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        for number in range(12):
            await ctx.step.run(str(number), lambda: "x" * (3 * MIB))

    error = bench.error()
    assert (error["name"], error["code"]) == ("InngestErrStateOverflowed", "state_overflowed")


@pytest.mark.parametrize("value", ["x" * (4 * MIB + 1), ["ü"] * (2 * MIB)])
def test_a_functions_own_output_is_limited_too(bench: Bench, value: Any) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return value

    error = bench.error()
    assert error["code"] == "output_too_large"
    assert "function" in error["message"]


def test_a_long_error_is_cut(bench: Bench) -> None:
    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> None:
        raise ValueError("x" * (20 * MIB))

    error = bench.error()
    assert error["name"] == "ValueError"
    assert error["message"].startswith("xxx")
    assert len(error["message"]) < MIB
    assert len(error["stack"]) < MIB


@pytest.mark.databases("sqlite", "postgres", "mariadb")
def test_the_largest_of_everything_at_once(bench: Bench) -> None:
    """The largest event, output and memo that are allowed fit into every database, lifecycle events included."""
    if not bench.hot:
        pytest.skip("one way tells enough")

    @bench.function("listener", trigger=inngest.TriggerEvent(event="inngest/function.finished"))
    async def listener(ctx: inngest.Context) -> int:
        return len(str(ctx.event.data["result"]))

    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        size = len(str(ctx.event.data["text"]))
        found = await ctx.step.wait_for_event("wait", event="test/ready", timeout=60_000)
        await ctx.step.run("large", lambda: "ü" * (2 * MIB - 20))
        return "x" * (4 * MIB - 2) if found and size else "lost"

    run = bench.run(text="ü" * (3 * MIB // 2 - 20))
    bench.send("test/ready", text="x" * (3 * MIB - 20))
    assert len(bench.output(run)) == 4 * MIB - 2
    [heard] = bench.inline.runs.list(function_id="app-listener")
    assert heard.output == 4 * MIB - 2
