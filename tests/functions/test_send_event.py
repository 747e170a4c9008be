"""step.send_event: stored together with the step's result, so exactly once."""

from __future__ import annotations

from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store import schema
from tests.functions.bench import Bench


def test_events_are_stored_once_and_start_functions(bench: Bench) -> None:
    @bench.function("heard", trigger=inngest.TriggerEvent(event="test/told"))
    async def heard(ctx: inngest.Context) -> Any:
        bench.calls[f"heard {ctx.event.data['n']}"] += 1

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        one = await ctx.step.send_event("one", inngest.Event(name="test/told", data={"n": 0}))
        events = [inngest.Event(name="test/told", data={"n": n}) for n in (1, 2)]
        two = await ctx.step.send_event("two", events)
        await ctx.step.sleep("replay", 1000)
        return [one, two]

    one, two = bench.output()
    assert (len(one), len(two), len({*one, *two})) == (1, 2, 3)
    assert bench.calls == {"heard 0": 1, "heard 1": 1, "heard 2": 1}
    assert {row.id for row in bench.events("test/told")} == {*one, *two}


@pytest.mark.databases("sqlite")
def test_a_sync_function_sends(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> Any:
        return ctx.step.send_event("tell", inngest.Event(name="test/told"))

    assert bench.output() == [row.id for row in bench.events("test/told")]


def test_a_step_that_is_done_twice_sends_once(bench: Bench) -> None:
    """The worker dies after the step and before its checkpoint; another one does the step again."""
    fail = [True]

    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> Any:
        ids = await ctx.step.send_event("tell", inngest.Event(name="test/told"))
        if fail.pop() if fail else False:
            raise KeyboardInterrupt
        return ids

    with pytest.raises(KeyboardInterrupt):
        bench.send()
    bench.advance(minutes=1)
    [run] = bench.inline.runs.list()
    [row] = bench.events("test/told")
    assert run.output == [row.id]


@pytest.mark.databases("sqlite")
def test_an_impossible_event_fails_the_step(bench: Bench) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> None:
        bench.calls["replays"] += 1
        await ctx.step.send_event("tell", inngest.Event(name="inngest/function.failed"))

    error = bench.error()
    assert error["name"] == "EventInvalidError"
    assert not [row for row in bench.rows(schema.event) if row.name == "inngest/function.failed" and row.data == "{}"]


@pytest.mark.databases("sqlite")
def test_an_event_with_an_id_and_a_time(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return await ctx.step.send_event("tell", inngest.Event(name="test/told", id="mine", ts=1_700_000_000_000))

    bench.output()
    [row] = bench.events("test/told")
    assert (row.external_id, row.ts) == ("mine", 1_700_000_000_000)


@pytest.mark.databases("sqlite")
def test_a_function_that_waits_for_what_it_sends(bench: Bench) -> None:
    @bench.function("echo", trigger=inngest.TriggerEvent(event="test/ask"))
    async def echo(ctx: inngest.Context) -> None:
        await ctx.step.send_event("answer", inngest.Event(name="test/answer", data={"n": ctx.event.data["n"]}))

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        async def ask() -> None:
            await ctx.step.send_event("ask", inngest.Event(name="test/ask", data={"n": 5}))

        wait = lambda: ctx.step.wait_for_event("answer", event="test/answer", timeout=60_000)  # noqa: E731
        _, answer = await ctx.group.parallel((ask, wait))
        return answer and answer.data["n"]  # type: ignore[union-attr]

    assert bench.output() == 5
