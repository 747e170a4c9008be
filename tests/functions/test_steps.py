"""Steps: done once, remembered, and read the same whether the function is still alive or replayed."""

from __future__ import annotations

from typing import Any

import pytest

import inngest_celery as inngest
from tests.functions.bench import Bench


def counted(bench: Bench, name: str, value: Any = None) -> Any:
    """Give a step body that counts its calls."""

    def body() -> Any:
        bench.calls[name] += 1
        return value

    return body


def test_bodies_run_once_and_code_between_them_once_a_replay(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> list[int]:
        bench.calls["between"] += 1
        first = await ctx.step.run("first", counted(bench, "first", 1))
        second = await ctx.step.run("second", counted(bench, "second", 2))
        return [first, second]

    run = bench.run()
    assert run.output == [1, 2]
    assert bench.calls == {"first": 1, "second": 1, "between": 1 if bench.hot else 3}
    assert [step.name for step in bench.steps(run)] == ["first", "second"]


@pytest.mark.databases("sqlite")
def test_sync_function(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> list[int]:
        bench.calls["between"] += 1
        return [ctx.step.run(f"step {number}", counted(bench, str(number), number)) for number in range(3)]

    assert bench.run().output == [0, 1, 2]
    assert bench.calls == {"0": 1, "1": 1, "2": 1, "between": 1 if bench.hot else 4}


@pytest.mark.databases("sqlite")
def test_a_repeated_id_is_counted(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> list[int]:
        results = []
        for number in range(3):
            results.append(await ctx.step.run("again", counted(bench, "again", number)))
            await ctx.step.sleep("pause", 1000)
        return results

    assert bench.output() == [0, 1, 2]
    assert bench.calls == {"again": 3}


@pytest.mark.databases("sqlite")
def test_a_literal_id_beside_a_repeated_one_is_an_error(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("x", counted(bench, "x"))
        await ctx.step.run("x:1", counted(bench, "x:1"))
        await ctx.step.run("x", counted(bench, "x again"))

    error = bench.error()
    assert error["code"] == "step_id_collision"
    assert '"x:1"' in error["message"]
    assert bench.calls == {"x": 1, "x:1": 1}


VALUES = [
    (None, None),
    (0, 0),
    ("", ""),
    ([], []),
    ({}, {}),
    (False, False),
    ((1, (2, 3)), [1, [2, 3]]),
    ({1: "one", None: "none"}, {"1": "one", "null": "none"}),
    ({"error": {"name": "no", "message": "error"}}, {"error": {"name": "no", "message": "error"}}),
    ({"data": 1}, {"data": 1}),
    (1.0, 1.0),
    (2**70, 2**70),
    ("ü\x00\u2028😀", "ü\x00\u2028😀"),
]


def test_values_are_read_alike_live_and_replayed(bench: Bench) -> None:
    seen: list[list[Any]] = []

    @bench.function()
    async def fn(ctx: inngest.Context) -> list[Any]:
        read = [
            await ctx.step.run(f"value {index}", lambda value=value: value) for index, (value, _) in enumerate(VALUES)
        ]
        seen.append(read)
        await ctx.step.sleep("replay", 1000)
        return read

    read = [value for _, value in VALUES]
    assert bench.output() == read
    assert seen[0] == seen[-1] == read
    assert [type(value) for value in seen[0]] == [type(value) for value in seen[-1]] == [type(value) for value in read]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("value", [None, 0, "", [], {}, False, (1, 2)])
def test_a_function_may_return_any_json(bench: Bench, value: Any) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return value

    assert bench.output() == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.databases("sqlite")
def test_step_arguments_reach_the_handler(bench: Bench) -> None:
    async def add(left: int, right: int) -> int:
        return left + right

    @bench.function()
    async def fn(ctx: inngest.Context) -> int:
        return await ctx.step.run("add", add, 1, 2)

    assert bench.output() == 3


@pytest.mark.databases("sqlite")
def test_the_context_tells_of_run_and_event(bench: Bench) -> None:
    @bench.function(retries=2)
    async def fn(ctx: inngest.Context) -> Any:
        return [ctx.run_id, ctx.event.name, ctx.event.data, len(ctx.events), ctx.attempt, ctx.max_attempts]

    run = bench.run(number=7)
    assert run.output == [run.id, "test/go", {"number": 7}, 1, 0, 3]


@pytest.mark.parametrize("size", [1024 * 1024, 3 * 1024 * 1024])
def test_large_outputs(bench: Bench, size: int) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> int:
        text = await ctx.step.run("large", lambda: "ü" * (size // 2))
        await ctx.step.sleep("replay", 1000)
        return len(text)

    assert bench.output() == size // 2


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("handler", ["called", None])
def test_a_step_that_is_given_no_function_says_so(bench: Bench, handler: Any) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("step", handler)

    error = bench.error()
    assert error["code"] == "step_invalid"
    assert "takes a function" in error["message"]


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("step_id", ["", "  ", 7, None, "x" * 513, "nul\x00", "half\ud800"])
def test_an_impossible_step_id_is_refused(bench: Bench, step_id: Any) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run(step_id, counted(bench, "body"))

    assert bench.error()["code"] == "step_invalid"
    assert not bench.calls


@pytest.mark.databases("sqlite")
def test_new_steps_in_changed_code_run_and_old_ones_are_forgotten(bench: Bench) -> None:
    version = ["old"]

    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        result = await ctx.step.run(version[0], counted(bench, version[0], version[0]))
        await ctx.step.sleep("deploy", 60_000)
        return result

    run = bench.run()
    version[0] = "new"
    assert bench.output(run) == "new"
    assert bench.calls == {"old": 1, "new": 1}
