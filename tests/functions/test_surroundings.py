"""What a function finds around it: context variables, loggers, serializers, the step decorator."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import logging
import threading
from typing import Any

import pydantic
import pytest

import inngest_celery as inngest
from tests.functions.bench import Bench

pytestmark = pytest.mark.databases("sqlite")

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="none")


def test_context_variables_reach_sync_bodies_and_async_ones(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        tenant.set("acme")

        async def read() -> str:
            return tenant.get()

        return [
            await ctx.step.run("sync", tenant.get),
            await ctx.step.run("async", read),
            *await asyncio.gather(ctx.step.run("a", tenant.get), ctx.step.run("b", read)),
        ]

    assert bench.output() == ["acme"] * 4
    assert tenant.get() == "none", "a run's variables are its own"


def test_context_variables_of_a_sync_function(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> Any:
        tenant.set("acme")
        inside = ctx.step.run("inside", tenant.get)
        ctx.step.run("sets", lambda: tenant.set("other") and None)
        parallel = ctx.group.parallel((lambda: ctx.step.run("a", tenant.get), tenant.get))
        return [inside, *parallel]

    assert bench.output()[0] == "acme"
    assert tenant.get() == "none"


def test_context_variables_set_by_middleware(bench: Bench) -> None:
    class Tenant(inngest.MiddlewareSync):
        def before_execution(self) -> None:
            tenant.set("from the middleware")

    bench.client.add_middleware(Tenant)

    @bench.function()
    def fn(ctx: inngest.ContextSync) -> Any:
        return ctx.step.run("read", lambda: None)

    # In a context of its own: a plain function's middleware runs in that of its worker.
    assert contextvars.copy_context().run(bench.output) is None


def test_a_sync_function_and_its_steps_share_a_thread(bench: Bench) -> None:
    @bench.function()
    def fn(ctx: inngest.ContextSync) -> bool:
        bench.calls[str(threading.get_ident())] += 1
        ctx.step.run("step", lambda: bench.calls.update([str(threading.get_ident())]))
        return True

    assert bench.output()
    assert list(bench.calls) == [str(threading.get_ident())]


def test_async_code_runs_on_one_loop(bench: Bench) -> None:
    loops: set[int] = set()

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        async def note() -> None:
            loops.add(id(asyncio.get_running_loop()))

        await note()
        await ctx.step.run("step", note)
        await ctx.step.sleep("nap", 1000)
        await note()

    bench.output()
    bench.output()
    assert len(loops) == 1


def test_the_logger_is_silent_in_a_replay(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.client.set_logger(logging.getLogger("app"))

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        ctx.logger.warning("start")
        await ctx.step.run("first", lambda: ctx.logger.warning("in first"))
        ctx.logger.warning("between")
        await ctx.step.sleep("nap", 1000)
        ctx.logger.warning("awake")
        await ctx.step.run("second", lambda: None)
        ctx.logger.warning("end")

    bench.output()
    said = [record.message for record in caplog.records if record.name == "app"]
    order = ["start", "in first", "between", "awake", "end"]
    assert sorted(set(said), key=order.index) == order
    assert said.count("in first") == said.count("end") == 1
    if bench.hot:
        assert said == order


class Order(pydantic.BaseModel):
    id: int
    placed: datetime.datetime


def test_pydantic_outputs(bench: Bench) -> None:
    bench.client.serializer = inngest.PydanticSerializer()
    placed = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    seen: list[Any] = []

    @bench.function(output_type=list[Order])
    async def fn(ctx: inngest.Context) -> list[Order]:
        order = await ctx.step.run("load", lambda: Order(id=7, placed=placed), output_type=Order)
        maybe = await ctx.step.run("maybe", lambda: None, output_type=Order | None)
        seen.append((order, maybe))
        await ctx.step.sleep("nap", 1000)
        return [order]

    assert bench.output() == [{"id": 7, "placed": "2026-01-02T00:00:00Z"}]
    assert all(read == (Order(id=7, placed=placed), None) for read in seen)


def test_without_an_output_type_a_model_is_refused(bench: Bench) -> None:
    bench.client.serializer = inngest.PydanticSerializer()

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("load", lambda: Order(id=7, placed=datetime.datetime.now(datetime.UTC)))

    error = bench.error()
    assert error["code"] == "step_errored"
    assert "output_type" in error["message"]


def test_a_stored_output_that_no_longer_fits_its_type(bench: Bench) -> None:
    bench.client.serializer = inngest.PydanticSerializer()
    kind: list[Any] = [int]

    @bench.function(retries=1)
    async def fn(ctx: inngest.Context) -> Any:
        number = await ctx.step.run("load", lambda: 7, output_type=kind[0])
        await ctx.step.sleep("nap", 1000)
        return number

    run = bench.run()
    kind[0] = Order
    assert bench.error(run)["name"] == "ValidationError"


def test_the_step_decorator(bench: Bench) -> None:
    from inngest_celery.experimental import step

    @step("load")
    async def load(number: int) -> int:
        bench.calls["load"] += 1
        return number * 2

    @bench.function()
    async def fn(ctx: inngest.Context) -> int:
        result = await load(21)
        await ctx.step.sleep("nap", 1000)
        return result

    assert bench.output() == 42
    assert bench.calls == {"load": 1}


@pytest.mark.parametrize(("general", "own", "shown"), [(False, None, True), (False, True, False), (True, False, True)])
def test_celery_sees_a_runs_result_unless_the_function_ignores_results(
    general: bool, own: bool | None, shown: bool, bench: Bench
) -> None:
    bench.app.conf.update(result_backend="cache+memory://", task_ignore_result=general)

    @bench.function(celery_options=None if own is None else {"ignore_result": own})
    def function(ctx: inngest.ContextSync) -> str:
        return "done"

    run = bench.run()
    assert bench.app.AsyncResult(run.id).result == ("done" if shown else None)
