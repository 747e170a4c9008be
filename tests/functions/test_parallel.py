"""Parallel steps: each once, joined once, whichever way they were written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store.rows import RunStatus
from tests.functions.bench import Bench

only_sqlite = pytest.mark.databases("sqlite")


def body(bench: Bench, name: str) -> Callable[[], str]:
    def run() -> str:
        bench.calls[name] += 1
        return name

    return run


@pytest.mark.parametrize("mode", list(inngest.ParallelMode) if hasattr(inngest, "ParallelMode") else [None])
def test_group(bench: Bench, mode: Any) -> None:
    options = {} if mode is None else {"parallel_mode": mode}

    @bench.function()
    async def fn(ctx: inngest.Context) -> list[Any]:
        names = ("a", "b", "c")
        results = await ctx.group.parallel(
            tuple(lambda name=name: ctx.step.run(name, body(bench, name)) for name in names), **options
        )
        bench.calls["joined"] += await ctx.step.run("after", lambda: 1)
        return list(results)

    run = bench.run()
    assert run.output == ["a", "b", "c"]
    assert bench.calls == {"a": 1, "b": 1, "c": 1, "joined": 1}
    assert sorted(step.name for step in bench.steps(run)) == ["a", "after", "b", "c"]


@only_sqlite
def test_group_in_a_sync_function(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> list[Any]:
        def branch(name: str) -> str:
            first = ctx.step.run(f"{name} 1", body(bench, f"{name} 1"))
            ctx.step.sleep(f"{name} sleeps", 1000)
            return first + ctx.step.run(f"{name} 2", body(bench, f"{name} 2"))

        results = ctx.group.parallel((lambda: branch("a"), lambda: branch("b"), lambda: "c"))
        return [*results, ctx.step.run("after", body(bench, "after"))]

    assert bench.output() == ["a 1a 2", "b 1b 2", "c", "after"]
    assert bench.calls == {"a 1": 1, "a 2": 1, "b 1": 1, "b 2": 1, "after": 1}


@only_sqlite
@pytest.mark.parametrize("count", [0, 1])
def test_small_groups(bench: Bench, count: int) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> list[Any]:
        return list(await ctx.group.parallel((lambda: ctx.step.run("a", body(bench, "a")),) * count))

    assert bench.output() == ["a"] * count


def test_gather(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return await asyncio.gather(*(ctx.step.run(name, body(bench, name)) for name in "abcd"))

    assert bench.output() == ["a", "b", "c", "d"]
    assert bench.calls == dict.fromkeys("abcd", 1)


@only_sqlite
def test_task_group(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ctx.step.run(name, body(bench, name))) for name in "ab"]
        return [task.result() for task in tasks]

    assert bench.output() == ["a", "b"]
    assert bench.calls == {"a": 1, "b": 1}


@only_sqlite
def test_nested(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        def branch(name: str) -> Callable[[], Awaitable[Any]]:
            steps = (lambda: ctx.step.run(f"{name}1", body(bench, f"{name}1")),)
            steps += (lambda: ctx.step.run(f"{name}2", body(bench, f"{name}2")),)
            return lambda: ctx.group.parallel(steps)

        left, right = await ctx.group.parallel((branch("a"), branch("b")))
        return [*left, *right]

    assert bench.output() == ["a1", "a2", "b1", "b2"]
    assert bench.calls == {"a1": 1, "a2": 1, "b1": 1, "b2": 1}


def test_every_kind_of_step_side_by_side(bench: Bench) -> None:
    @bench.function("callee", trigger=inngest.TriggerEvent(event="test/other"))
    async def callee(ctx: inngest.Context) -> str:
        return await ctx.step.run("inside", body(bench, "inside"))

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        async def slow() -> str:
            await ctx.step.sleep("sleep", timedelta(days=3))
            return await ctx.step.run("after sleep", body(bench, "after sleep"))

        async def waiting() -> str:
            event = await ctx.step.wait_for_event("wait", event="test/ready", timeout=timedelta(days=1))
            assert event is not None
            return await ctx.step.run("after wait", body(bench, "after wait"))

        return await asyncio.gather(
            ctx.step.run("run", body(bench, "run")),
            slow(),
            waiting(),
            ctx.step.invoke("invoke", function=callee),
            ctx.step.wait_for_event("in vain", event="test/never", timeout=timedelta(hours=1)),
        )

    run = bench.run()
    assert bench.calls == {"run": 1, "inside": 1}
    bench.send("test/ready")
    assert bench.calls == {"run": 1, "inside": 1, "after wait": 1}, "a branch goes on while the others sleep"
    bench.advance(hours=2)
    assert bench.get(run).status is RunStatus.RUNNING
    assert bench.output(run) == ["run", "after sleep", "after wait", "inside", None]
    assert set(bench.calls.values()) == {1}


@only_sqlite
def test_branches_of_several_steps_with_io_between_them(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        async def branch(name: str) -> str:
            result = ""
            for number in range(3):
                await asyncio.sleep(0.001 * number)
                result += await ctx.step.run(f"{name}{number}", body(bench, f"{name}{number}"))
            return result

        return await asyncio.gather(branch("a"), branch("b"), branch("c"))

    assert bench.output() == ["a0a1a2", "b0b1b2", "c0c1c2"]
    assert len(bench.calls) == 9
    assert set(bench.calls.values()) == {1}


@only_sqlite
def test_a_branch_without_steps_that_takes_longer_than_the_steps(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        async def io() -> str:
            await asyncio.sleep(0.15)
            return "io"

        return await asyncio.gather(io(), ctx.step.run("a", body(bench, "a")), ctx.step.run("b", body(bench, "b")))

    assert bench.output() == ["io", "a", "b"]
    assert bench.calls == {"a": 1, "b": 1}


def test_a_failed_branch_ends_the_run(bench: Bench) -> None:
    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> None:
        def fail() -> None:
            raise ValueError("no")

        await ctx.group.parallel((lambda: ctx.step.run("bad", fail), lambda: ctx.step.sleep("good", timedelta(days=1))))

    run = bench.run()
    assert run.status is RunStatus.FAILED
    assert (run.output["name"], run.output["message"]) == ("ValueError", "no")


def test_a_failed_branch_that_is_caught(bench: Bench) -> None:
    @bench.function(retries=1)
    async def fn(ctx: inngest.Context) -> Any:
        def fail() -> None:
            bench.calls["bad"] += 1
            raise ValueError("no")

        async def branch(name: str, handler: Callable[[], Any]) -> str:
            try:
                return await ctx.step.run(name, handler)
            except inngest.StepError as error:
                return f"caught {error.name}"

        steps = (lambda: branch("bad", fail), lambda: branch("good", body(bench, "good")))
        return [*await ctx.group.parallel(steps), await ctx.step.run("after", body(bench, "after"))]

    assert bench.output() == ["caught ValueError", "good", "after"]
    assert bench.calls == {"bad": 2, "good": 1, "after": 1}


@only_sqlite
def test_gather_that_returns_exceptions(bench: Bench) -> None:
    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> Any:
        def fail() -> None:
            raise ValueError("no")

        first, second = await asyncio.gather(
            ctx.step.run("bad", fail), ctx.step.run("good", body(bench, "good")), return_exceptions=True
        )
        return [type(first).__name__, second]

    assert bench.output() == ["StepError", "good"]


@only_sqlite
def test_first_completed(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        async def slow() -> str:
            await ctx.step.sleep("slow", timedelta(days=2))
            return "slow"

        async def fast() -> str:
            await ctx.step.sleep("fast", timedelta(days=1))
            return "fast"

        tasks = [asyncio.create_task(slow()), asyncio.create_task(fast())]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [next(iter(done)).result(), await ctx.step.run("after", body(bench, "after"))]

    run = bench.run()
    bench.advance(days=1)
    assert bench.get(run).output == ["fast", "after"]
    assert bench.calls == {"after": 1}


@only_sqlite
def test_a_step_raced_against_a_timer(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        event = asyncio.ensure_future(ctx.step.wait_for_event("wait", event="test/x", timeout=timedelta(days=9)))
        timer = asyncio.ensure_future(ctx.step.sleep("timer", timedelta(days=1)))
        await asyncio.wait([event, timer], return_when=asyncio.FIRST_COMPLETED)
        return "event" if event.done() else "timer"

    first = bench.run()
    bench.send("test/x")
    assert bench.get(first).output == "event"
    second = bench.run()
    assert bench.output(second) == "timer"


@only_sqlite
def test_repeated_ids_in_branches_keep_their_order(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return await asyncio.gather(*(ctx.step.run("same", body(bench, str(number))) for number in range(4)))

    assert bench.output() == ["0", "1", "2", "3"]
    assert bench.calls == {"0": 1, "1": 1, "2": 1, "3": 1}


def test_many_branches(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> int:
        return sum(await asyncio.gather(*(ctx.step.run(str(n), lambda n=n: n) for n in range(30))))

    run = bench.run()
    assert run.output == sum(range(30))
    assert len(bench.steps(run)) == 30


@only_sqlite
def test_what_came_first_stays_first_in_every_replay(bench: Bench) -> None:
    """The slower branch ends too, before the function is replayed: it must not win then."""

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        async def after(days: int) -> int:
            await ctx.step.sleep(f"{days} days", timedelta(days=days))
            return days

        winners = []
        for fast, slow in ((1, 2), (3, 4)):
            tasks = [asyncio.create_task(after(slow)), asyncio.create_task(after(fast))]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            winners.append(sorted(task.result() for task in done))
            bench.calls[str(winners)] += 1
            await ctx.step.sleep("meanwhile", timedelta(days=10))
        return winners

    assert bench.output() == [[1], [3]]
    assert set(bench.calls) == {"[[1]]", "[[1], [3]]"}


@only_sqlite
def test_as_completed_keeps_its_order(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        async def after(days: int) -> int:
            await ctx.step.sleep(f"{days} days", timedelta(days=days))
            return days

        order = []
        for ended in asyncio.as_completed([after(days) for days in (3, 1, 4, 2)]):
            order.append(await ended)
            await ctx.step.run(f"note {len(order)}", body(bench, str(order)))
        return order

    assert bench.output() == [1, 2, 3, 4]
    assert set(bench.calls.values()) == {1}
