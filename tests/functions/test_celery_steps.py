"""step.celery: Celery tasks of other code as steps, carried out in place."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any

import pytest
from celery import Celery, chain, chord, group

import inngest_celery as inngest
from inngest_celery.experimental import mocked
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")


def double(number: int) -> int:
    return number * 2


def total(numbers: list[int]) -> int:
    return sum(numbers)


def fail(*_: object) -> None:
    raise LookupError("no such customer")


def again(task: Any) -> int:
    if task.request.retries < 2:
        raise task.retry(countdown=0)
    return int(task.request.retries)


def a_set() -> object:
    return {1, 2}


def told(*values: object) -> list[str]:
    return [repr(value) for value in values]


class Tasks:
    """What an old project has."""

    def __init__(self, app: Celery) -> None:
        self.double, self.total, self.fail, self.a_set, self.told = (
            app.task(name=f"old.{function.__name__}", shared=False)(function)
            for function in (double, total, fail, a_set, told)
        )
        self.again = app.task(name="old.again", shared=False, bind=True, max_retries=2)(again)


@pytest.fixture
def tasks(bench: Bench) -> Tasks:
    return Tasks(bench.app)


def test_tasks_and_canvases_give_their_results(bench: Bench, tasks: Tasks) -> None:
    double, total = tasks.double, tasks.total

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return [
            await ctx.step.celery("task", double.s(1)),
            await ctx.step.celery("chain", chain(double.s(1), double.s(), double.s())),
            await ctx.step.celery("group", group(double.s(number) for number in range(3))),
            await ctx.step.celery("chord", chord([double.s(1), double.s(2)], total.s())),
            await ctx.step.celery("mixed", double.s(1) | group(double.s(), double.s()) | total.s() | double.s()),
            await ctx.step.celery("map", double.map([1, 2])),
            await ctx.step.celery("chunks", double.chunks([(1,), (2,), (3,)], 2)),
            await ctx.step.celery("immutable", chain(double.s(1), double.si(5))),
            await ctx.step.celery("retries", tasks.again.s()),
        ]

    assert bench.output() == [2, 8, [0, 2, 4], 6, 16, [2, 4], [[2, 4], [6]], 10, 2]


def test_an_error_can_be_caught_and_is_not_retried(bench: Bench, tasks: Tasks) -> None:
    @bench.function(retries=3)
    def fn(ctx: inngest.ContextSync) -> Any:
        try:
            ctx.step.celery("fail", chain(tasks.double.s(1), tasks.fail.s()))
        except inngest.StepError as error:
            return [error.name, error.message, "in fail" in (error.stack or "")]

    assert bench.output() == ["LookupError", "no such customer", True]


def test_arguments_come_as_celery_sends_them(bench: Bench, tasks: Tasks) -> None:
    day = datetime.date(2026, 1, 5)

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return await ctx.step.celery("told", tasks.told.s(Decimal("1.50"), day, ("a", 1)))

    assert bench.output() == ["Decimal('1.50')", "datetime.date(2026, 1, 5)", "['a', 1]"]


def test_a_result_that_is_no_json_fails_the_step_and_says_so(bench: Bench, tasks: Tasks) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.celery("set", tasks.a_set.s())

    assert "unserializable data: a set" in bench.error()["message"]


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (lambda tasks: tasks.double, r"takes a signature of a Celery task.*task\.s\(argument\)"),
        (lambda tasks: tasks.double.s(object()), r"cannot be kept as JSON.*object is not JSON serializable|Object of"),
        (lambda tasks: tasks.double.s("x" * 5_000_000), r"at most 4194304 go"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_the_call(bench: Bench, tasks: Tasks, signature: Any, message: str) -> None:
    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.celery("step", signature(tasks))

    error = bench.error()
    assert error["code"] == "step_invalid"
    assert re.search(message, error["message"])


def test_mocked_functions_apply_it(bench: Bench, tasks: Tasks) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        doubled = await ctx.step.celery("double", tasks.double.s(ctx.event.data["number"]))
        try:
            await ctx.step.celery("fail", tasks.fail.s())
        except inngest.StepError as error:
            return [doubled, error.name, await ctx.step.celery("stubbed", tasks.double.s(1))]

    result = mocked.trigger(fn, inngest.Event(name="test", data={"number": 4}), bench.client, step_stubs={"stubbed": 7})
    assert result.output == [8, "LookupError", 7]
