"""step.invoke: one function calls another."""

from __future__ import annotations

import asyncio
import datetime
from datetime import timedelta
from typing import Any

import pydantic
import pytest

import inngest_celery as inngest
from inngest_celery.store.rows import RunStatus
from tests.functions.bench import Bench

only_sqlite = pytest.mark.databases("sqlite")
NEVER = inngest.TriggerEvent(event="test/never", expression="false")


def test_result_and_data(bench: Bench) -> None:
    @bench.function("double", trigger=NEVER)
    async def double(ctx: inngest.Context) -> Any:
        assert ctx.event.name == "inngest/function.invoked"
        await ctx.step.sleep("think", timedelta(days=1))
        return 2 * ctx.event.data["number"]  # type: ignore[operator]

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return [await ctx.step.invoke("first", function=double, data={"number": 21}), "went on"]

    assert bench.output() == [42, "went on"]
    [callee] = bench.inline.runs.list(function_id="app-double")
    assert callee.status is RunStatus.COMPLETED


@only_sqlite
def test_from_a_sync_function(bench: Bench) -> None:
    @bench.function("callee", trigger=NEVER)
    async def callee(ctx: inngest.Context) -> str:
        return "result"

    @bench.function()
    def fn(ctx: inngest.ContextSync) -> Any:
        return ctx.step.invoke("call", function=callee)

    assert bench.output() == "result"


@only_sqlite
def test_a_function_of_another_app(bench: Bench) -> None:
    other = inngest.Inngest(app_id="billing", celery=bench.app)

    @other.create_function(fn_id="charge", trigger=NEVER)
    async def charge(ctx: inngest.Context) -> Any:
        return ["charged", ctx.event.data["amount"]]

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return await ctx.step.invoke_by_id("charge", app_id="billing", function_id="charge", data={"amount": 5})

    assert bench.output() == ["charged", 5]


def test_a_callees_failure_is_a_step_error_and_not_retried(bench: Bench) -> None:
    @bench.function("callee", trigger=NEVER, retries=1)
    async def callee(ctx: inngest.Context) -> None:
        bench.calls["callee"] += 1
        raise ValueError("no")

    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> Any:
        try:
            await ctx.step.invoke("call", function=callee)
        except inngest.StepError as error:
            return [error.name, error.message]

    assert bench.output() == ["ValueError", "no"]
    assert bench.calls == {"callee": 2}


@only_sqlite
def test_an_uncaught_failure_fails_the_caller(bench: Bench) -> None:
    @bench.function("callee", trigger=NEVER, retries=0)
    async def callee(ctx: inngest.Context) -> None:
        raise ValueError("no")

    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.invoke("call", function=callee)

    error = bench.error()
    assert (error["name"], error["message"], error["code"]) == ("ValueError", "no", "step_errored")


def test_timeout(bench: Bench) -> None:
    @bench.function("callee", trigger=NEVER)
    async def callee(ctx: inngest.Context) -> str:
        await ctx.step.sleep("long", timedelta(days=9))
        return "late"

    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> Any:
        try:
            await ctx.step.invoke("call", function=callee, timeout=timedelta(days=1))
        except inngest.StepError as error:
            return [error.name, error.message]

    run = bench.run()
    bench.advance(days=1)
    name, message = bench.get(run).output  # type: ignore[misc]
    assert name == "InngestInvokeTimeoutError"
    assert message == "Timed out waiting for invoked function to complete"
    [callee_run] = bench.inline.runs.list(function_id="app-callee")
    assert callee_run.status is RunStatus.RUNNING
    assert bench.output(callee_run) == "late"


@only_sqlite
def test_an_unknown_function(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.invoke_by_id("call", function_id="nothing")

    error = bench.error()
    assert error["message"] == "could not find function with ID: app-nothing"
    assert error["name"] == "Error"


class Bill(pydantic.BaseModel):
    day: datetime.date
    lines: list[int]


@only_sqlite
def test_output_type(bench: Bench) -> None:
    bench.client.serializer = inngest.PydanticSerializer()

    @bench.function("callee", trigger=NEVER, output_type=Bill)
    async def callee(ctx: inngest.Context) -> Bill:
        return Bill(day=datetime.date(2026, 1, 2), lines=[1, 2])

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        typed = await ctx.step.invoke("typed", function=callee)
        assert isinstance(typed, Bill)
        assert typed.day == datetime.date(2026, 1, 2)
        return await ctx.step.invoke_by_id("raw", function_id="callee")

    assert bench.output() == {"day": "2026-01-02", "lines": [1, 2]}


def test_many_at_a_time(bench: Bench) -> None:
    @bench.function("square", trigger=NEVER)
    async def square(ctx: inngest.Context) -> Any:
        return ctx.event.data["n"] ** 2  # type: ignore[operator]

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return await asyncio.gather(*(ctx.step.invoke(f"{n}", function=square, data={"n": n}) for n in range(5)))

    assert bench.output() == [0, 1, 4, 9, 16]
    assert len(bench.inline.runs.list(function_id="app-square")) == 5


def test_a_cancelled_caller_leaves_the_callee_alone(bench: Bench) -> None:
    @bench.function("callee", trigger=NEVER)
    async def callee(ctx: inngest.Context) -> str:
        await ctx.step.sleep("long", timedelta(days=1))
        return "done"

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return await ctx.step.invoke("call", function=callee)

    run = bench.run()
    bench.inline.runs.cancel(run.id)
    [callee_run] = bench.inline.runs.list(function_id="app-callee")
    assert bench.output(callee_run) == "done"
    assert bench.get(run).status is RunStatus.CANCELLED


def test_a_cancelled_callee_is_a_step_error(bench: Bench) -> None:
    @bench.function("callee", trigger=NEVER)
    async def callee(ctx: inngest.Context) -> None:
        await ctx.step.sleep("long", timedelta(days=1))

    @bench.function(retries=2)
    async def fn(ctx: inngest.Context) -> Any:
        try:
            await ctx.step.invoke("call", function=callee)
        except inngest.StepError as error:
            return error.message

    run = bench.run()
    [callee_run] = bench.inline.runs.list(function_id="app-callee")
    bench.inline.runs.cancel(callee_run.id)
    assert bench.output(run) == "function cancelled"


@only_sqlite
def test_a_function_that_invokes_itself(bench: Bench) -> None:
    @bench.function("down", trigger=NEVER)
    async def down(ctx: inngest.Context) -> Any:
        number = ctx.event.data["n"]
        assert isinstance(number, int)
        return [number, *(await ctx.step.invoke("next", function=down, data={"n": number - 1}))] if number else [0]

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return await ctx.step.invoke("down", function=down, data={"n": 4})

    assert bench.output() == [4, 3, 2, 1, 0]


@only_sqlite
def test_data_that_json_cannot_hold(bench: Bench) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.invoke_by_id("call", function_id="fn", data={"when": datetime.date(2026, 1, 1)})

    run = bench.run()
    assert run.output["code"] == "step_invalid"  # type: ignore[index]
    assert "a date at $.when" in run.output["message"]  # type: ignore[index]


def test_a_replay_does_not_invoke_again(bench: Bench) -> None:
    """The callee is done before the steps beside the invocation, whose replays come to the invocation again."""

    @bench.function("callee", trigger=NEVER)
    async def callee(ctx: inngest.Context) -> None:
        bench.calls["callee"] += 1

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        async def slow() -> None:
            await ctx.step.sleep("nap", timedelta(days=1))
            await ctx.step.run("beside", lambda: None)

        await asyncio.gather(ctx.step.invoke("call", function=callee, timeout=timedelta(days=3)), slow(), slow())

    bench.output()
    assert bench.calls == {"callee": 1}


def test_a_replay_while_the_callee_is_still_at_work_does_not_invoke_again(bench: Bench) -> None:
    @bench.function("callee", trigger=NEVER)
    async def callee(ctx: inngest.Context) -> None:
        bench.calls["callee"] += 1
        await ctx.step.sleep("long", timedelta(days=2))

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        async def slow() -> None:
            await ctx.step.sleep("nap", timedelta(days=1))
            await ctx.step.run("beside", lambda: None)

        await asyncio.gather(ctx.step.invoke("call", function=callee), slow())

    run = bench.run()
    bench.output(run)
    assert len(bench.inline.runs.list(function_id="app-callee")) == 1
