"""Functions in the eager tests that Celery users have: ``apply()``, and ``task_always_eager`` for all calls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery, chain, chord, current_task, group
from celery.result import EagerResult

import inngest_celery as inngest

WEEK = timedelta(days=7)


class Shop:
    """An app with functions. Neither its broker nor its database exists."""

    def __init__(self) -> None:
        self.app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
        self.app.conf.inngest_database_url = "sqlite:////dev/null/none.db"
        self.client = inngest.Inngest(app_id="shop", celery=self.app)
        self.calls: list[Any] = []
        self._define_functions()
        self._define_those_that_call()
        self._define_tasks()

    def _define_functions(self) -> None:
        client = self.client

        @client.create_function(fn_id="add-one", trigger=inngest.TriggerEvent(event="shop/add"))
        def add_one(ctx: inngest.ContextSync) -> int:
            number = ctx.event.data["args"][0] if "args" in ctx.event.data else ctx.event.data["number"]
            ctx.step.sleep("a week", WEEK)
            return ctx.step.run("add", lambda: number + 1)

        @client.create_function(fn_id="many-kinds", trigger=inngest.TriggerEvent(event="shop/many"), retries=1)
        async def many_kinds(ctx: inngest.Context) -> list[Any]:
            async def flaky() -> str:
                self.calls.append("flaky")
                if len(self.calls) == 1:
                    raise ValueError("not yet")
                return "well"

            first = await ctx.step.run("flaky", flaky)
            second = await ctx.step.invoke("callee", function=add_one, data={"number": 1})
            await ctx.step.send_event("tell", inngest.Event(name="shop/told", data={"by": "many"}))
            third = await ctx.step.wait_for_event("never", event="shop/never", timeout=WEEK)
            return [first, second, third]

        @client.create_function(fn_id="hear", trigger=inngest.TriggerEvent(event="shop/told"))
        def hear(ctx: inngest.ContextSync) -> None:
            ctx.step.run("hear", lambda: self.calls.append(ctx.event.data["by"]))

        @client.create_function(fn_id="fail", trigger=inngest.TriggerEvent(event="shop/fail"), retries=2)
        def fail(ctx: inngest.ContextSync) -> None:
            ctx.step.run("fail", lambda: 1 / 0)

        @client.create_function(fn_id="tick", trigger=inngest.TriggerCron(cron="0 * * * *"))
        def tick(ctx: inngest.ContextSync) -> None:
            self.calls.append("tick")

        self.add_one, self.many_kinds, self.fail = add_one, many_kinds, fail

    def _define_those_that_call(self) -> None:
        client, add_one, many_kinds = self.client, self.add_one, self.many_kinds

        @client.create_function(fn_id="outer", trigger=inngest.TriggerEvent(event="shop/outer"))
        def outer(ctx: inngest.ContextSync) -> Any:
            return ctx.step.run("inner", lambda: add_one.apply((1,)).get(disable_sync_subtasks=False))

        @client.create_function(fn_id="outer-async", trigger=inngest.TriggerEvent(event="shop/outer"), retries=0)
        async def outer_async(ctx: inngest.Context) -> Any:
            async def body() -> Any:
                return many_kinds.apply().get(disable_sync_subtasks=False)

            return await ctx.step.run("inner", body)

        @client.create_function(fn_id="told", trigger=inngest.TriggerEvent(event="shop/told-what"))
        def told(ctx: inngest.ContextSync) -> Any:
            return ctx.step.run("look", lambda: current_task.request.headers["tenant"])

        self.outer, self.outer_async, self.told = outer, outer_async, told

    def _define_tasks(self) -> None:
        @self.app.task(name="double", shared=False)  # type: ignore[untyped-decorator]
        def double(number: int) -> int:
            return number * 2

        @self.app.task(name="total", shared=False)  # type: ignore[untyped-decorator]
        def total(numbers: list[int]) -> int:
            return sum(numbers)

        self.double, self.total = double, total


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def eager(shop: Shop) -> Shop:
    shop.app.conf.task_always_eager = True
    return shop


def test_apply_gives_the_output(shop: Shop) -> None:
    result = shop.add_one.apply((1,))
    assert isinstance(result, EagerResult)
    assert (result.state, result.get(), result.name) == ("SUCCESS", 2, "shop/add-one")
    assert shop.add_one.apply(kwargs={"number": 2}, task_id="mine").id == "mine"
    assert shop.add_one.apply(({"number": 3},)).get() == 4


def test_apply_lets_time_pass_and_other_functions_run_but_no_crons(shop: Shop) -> None:
    assert shop.many_kinds.apply().get() == ["well", 2, None]
    assert shop.calls == ["flaky", "flaky", "many"]


def test_a_failed_run_fails_the_result(shop: Shop) -> None:
    result = shop.fail.apply()
    assert result.state == "FAILURE"
    with pytest.raises(inngest.StepError, match="division by zero"):
        result.get()
    with pytest.raises(inngest.StepError, match="division by zero"):
        shop.fail.apply(throw=True)


def test_a_step_may_apply_another_function(shop: Shop) -> None:
    assert shop.outer.apply().get() == 2


def test_an_async_step_that_would_wait_for_its_own_loop_is_told(shop: Shop) -> None:
    with pytest.raises(inngest.StepError, match=r"asyncio\.to_thread"):
        shop.outer_async.apply().get()


def test_a_canvas_is_applied(shop: Shop) -> None:
    assert chain(shop.double.s(5), shop.add_one.s(), shop.double.s()).apply().get() == 22
    assert group(shop.add_one.s(number) for number in range(3)).apply().get() == [1, 2, 3]


def test_always_eager_executes_every_call_at_once(eager: Shop) -> None:
    assert eager.add_one.delay(1).get() == 2
    assert eager.add_one.apply_async((1,), countdown=3600, link=eager.double.s()).get() == 2
    assert chain(eager.add_one.s(1), eager.double.s())().get() == 4
    assert chord([eager.add_one.s(1), eager.double.s(2)], eager.total.s())().get() == 6
    assert eager.told.apply_async(headers={"tenant": "acme"}).get() == "acme"


def test_always_eager_refuses_what_is_refused_otherwise(eager: Shop) -> None:
    with pytest.raises(inngest.FunctionConfigInvalidError, match="queue: a call of shop/add-one"):
        eager.add_one.apply_async((1,), queue="mail")


def test_always_eager_raises_where_celery_does(eager: Shop) -> None:
    eager.app.conf.task_eager_propagates = True
    with pytest.raises(inngest.StepError, match="division by zero"):
        eager.fail.delay()
