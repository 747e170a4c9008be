"""How a function that has come to its steps is told from one that is still on its way: without waiting for either."""

from __future__ import annotations

import asyncio

import pytest

import inngest_celery as inngest
from inngest_celery.drivers.native import fibers
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")


def test_nested_branches_are_no_stragglers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # If any were, the run would wait for ever and not for a moment that nobody sees.
    monkeypatch.setattr(fibers, "_STRAGGLER_GRACE", 3600)

    @bench.function()
    async def fn(ctx: inngest.Context) -> object:
        async def pair(name: str) -> list[int]:
            return await asyncio.gather(
                ctx.step.run(f"{name}-1", lambda: 1), asyncio.create_task(ctx.step.run(f"{name}-2", lambda: 2))
            )

        return await asyncio.gather(pair("a"), asyncio.gather(pair("b"), pair("c")))

    assert bench.run().output == [[1, 2], [[1, 2], [1, 2]]]


def test_a_straggler_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fibers, "_STRAGGLER_GRACE", 3600)

    @bench.function()
    async def fn(ctx: inngest.Context) -> object:
        async def slow() -> int:
            await asyncio.sleep(0.05)
            return await ctx.step.run("slow", lambda: 1)

        return await asyncio.gather(slow(), ctx.step.run("fast", lambda: 2))

    assert bench.run().output == [1, 2]
