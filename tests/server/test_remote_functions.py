"""Functions of the official Python SDK, unmodified, called over HTTP: every kind of step, and what goes wrong."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import inngest as official
import pytest

from tests.server.stage import Stage


async def plain(value: Any) -> Any:
    return value


def test_every_kind_of_step(stage: Stage) -> None:
    client = stage.client()

    @client.create_function(fn_id="child", trigger=official.TriggerEvent(event="sample/child"))
    async def child(ctx: official.Context) -> Any:
        return {"got": ctx.event.data["hello"]}

    @client.create_function(fn_id="steps", trigger=official.TriggerEvent(event="sample/steps"))
    async def steps(ctx: official.Context) -> Any:
        first = await ctx.step.run("first", plain, {"a": 1})
        await ctx.step.sleep("nap", timedelta(days=3))
        sent = await ctx.step.send_event("emit", official.Event(name="sample/emitted", data={"x": 1}))
        called = await ctx.step.invoke("call", function=child, data={"hello": "w"})
        seen = await ctx.step.wait_for_event(
            "wait", event="sample/go", if_exp="event.data.id == async.data.id", timeout=timedelta(days=1)
        )
        silent = await ctx.step.wait_for_event("silence", event="sample/never", timeout=timedelta(hours=1))
        both = await ctx.group.parallel((lambda: ctx.step.run("p1", plain, 1), lambda: ctx.step.run("p2", plain, 2)))
        return [first, len(sent), called, seen.data if seen else None, silent, both]

    with stage.app(client, [child, steps]):
        run = stage.start("sample/steps", id="z")
        stage.bench.advance(days=3)
        stage.send("sample/go", id="other")
        stage.send("sample/go", id="z", word="yes")
        stage.drain()
        assert stage.bench.output(run) == [{"a": 1}, 1, {"got": "w"}, {"id": "z", "word": "yes"}, None, [1, 2]]
    assert [event.name for event in stage.bench.events("sample/emitted")] == ["sample/emitted"]


def test_a_step_that_fails_is_tried_again_and_its_error_can_be_caught(stage: Stage) -> None:
    client, calls = stage.client(), Counter[str]()

    async def flaky() -> str:
        calls["flaky"] += 1
        if calls["flaky"] < 3:
            raise ValueError("not yet")
        return "at last"

    async def bad() -> None:
        calls["bad"] += 1
        raise ValueError("never")

    @client.create_function(fn_id="errors", trigger=official.TriggerEvent(event="sample/errors"), retries=2)
    async def errors(ctx: official.Context) -> Any:
        good = await ctx.step.run("flaky", flaky)
        try:
            await ctx.step.run("bad", bad)
        except official.StepError as error:
            return [good, error.message, error.name]
        return None

    with stage.app(client, [errors]):
        assert stage.output("sample/errors") == ["at last", "never", "ValueError"]
    assert calls == {"flaky": 3, "bad": 3}


def test_a_function_that_fails_is_tried_again_and_its_handler_is_told(stage: Stage) -> None:
    client, seen = stage.client(), Counter[str]()

    async def told(ctx: official.Context) -> None:
        seen[str(ctx.event.data["error"]["message"])] += 1  # type: ignore[index, call-overload]

    @client.create_function(
        fn_id="fails", trigger=official.TriggerEvent(event="sample/fails"), retries=1, on_failure=told
    )
    async def fails(ctx: official.Context) -> None:
        seen[f"attempt {ctx.attempt}"] += 1
        raise ValueError("no")

    with stage.app(client, [fails]):
        assert stage.error("sample/fails")["message"] == "no"
    assert seen == {"attempt 0": 1, "attempt 1": 1, "no": 1}


def test_parallel_steps_are_asked_for_once_and_joined_once(stage: Stage) -> None:
    client, requests = stage.client(), list[str]()

    @client.create_function(fn_id="joins", trigger=official.TriggerEvent(event="sample/joins"))
    async def joins(ctx: official.Context) -> Any:
        requests.append("called")
        parts = await ctx.group.parallel(
            tuple(lambda number=number: ctx.step.run(f"part-{number}", plain, number) for number in range(4))
        )
        return sum(parts)

    with stage.app(client, [joins]):
        assert stage.output("sample/joins") == 6
    # The plan, each of the steps, the join.
    assert len(requests) == 6


def test_a_race_goes_on_with_the_first(stage: Stage) -> None:
    client = stage.client()

    @client.create_function(fn_id="races", trigger=official.TriggerEvent(event="sample/races"))
    async def races(ctx: official.Context) -> Any:
        async def slow() -> str:
            await ctx.step.sleep("slow", timedelta(days=2))
            return "slow"

        async def fast() -> str:
            return await ctx.step.run("fast", plain, "fast")

        return await ctx.group.parallel((fast, slow), parallel_mode=official.ParallelMode.RACE)

    with stage.app(client, [races]):
        run = stage.start("sample/races")
        assert [step.name for step in stage.bench.steps(run)] == ["fast"]
        assert stage.bench.output(run) == ["fast", "slow"]


@pytest.mark.databases("sqlite")
def test_a_large_state_is_fetched(stage: Stage) -> None:
    client = stage.client()

    @client.create_function(fn_id="large", trigger=official.TriggerEvent(event="sample/large"))
    async def large(ctx: official.Context) -> Any:
        parts = [await ctx.step.run(f"part-{number}", plain, "x" * 1_500_000) for number in range(4)]
        return sum(len(part) for part in parts)

    with stage.app(client, [large]):
        assert stage.output("sample/large") == 6_000_000
