"""Code that type checkers must accept, with the types they must infer."""

from __future__ import annotations

import datetime
import functools
import logging
from typing import Any, assert_type

import inngest_celery as inngest
from inngest_celery.experimental import mocked, step
from inngest_celery.experimental.ai import openai

client = inngest.Inngest(app_id="shop", middleware=[inngest.Middleware, inngest.MiddlewareSync])


async def load(user_id: int, name: str) -> dict[str, int]:
    return {name: user_id}


def load_now(user_id: int, name: str) -> dict[str, int]:
    return {name: user_id}


async def no_arguments() -> str:
    return ""


@step("decorated")
async def decorated(value: int, *, twice: bool = False) -> float:
    return value * 2.0 if twice else value


@client.create_function(
    fn_id="later",
    trigger=[inngest.TriggerEvent(event="e"), inngest.TriggerCron(cron="* * * * *")],
    celery_options={"queue": "mail"},
    throttle=inngest.Throttle(limit=1, period=datetime.timedelta(minutes=1)),
    batch_events=None,
    budget=inngest.Budget(limit=10, period=datetime.timedelta(days=1), cost="output.usage.tokens", mode="stop"),
    concurrency=inngest.ConcurrencyLevels(fn=[inngest.Concurrency(limit=1)], step=[inngest.Concurrency(limit=5)]),
)
async def later(ctx: inngest.Context) -> int:
    assert_type(await ctx.step.run("load", load, 1, "a"), dict[str, int])
    assert_type(await ctx.step.run("none", no_arguments), str)
    assert_type(await ctx.step.run("costly", load, 1, "a", cost=lambda found: found["a"]), dict[str, int])
    assert_type(await ctx.step.run("costs the same", no_arguments, cost=1), str)
    assert_type(await ctx.step.run("by length", no_arguments, cost=len), str)
    assert_type(await ctx.step.run("for nothing", functools.partial(load, 1, name="a"), cost=None), dict[str, int])
    assert_type(await ctx.step.run("partial", functools.partial(load, 1, name="a")), dict[str, int])
    assert_type(await ctx.step.run("lambda", lambda: load(1, "a")), dict[str, int])
    assert_type(await ctx.step.sleep("nap", 1000), None)
    assert_type(
        await ctx.step.wait_for_event("paid", event="e", if_exp="true", timeout=datetime.timedelta(days=1)),
        inngest.Event | None,
    )
    assert_type(await ctx.step.send_event("tell", [inngest.Event(name="e", data={"a": [1, {"b": None}]})]), list[str])
    assert_type(await ctx.step.invoke("call", function=now, data={"a": 1}), list[str])
    assert_type(await ctx.step.invoke_by_id("call", function_id="f"), object)
    model = openai.Adapter(auth_key="", model="")
    assert_type(await ctx.step.ai.infer("ask", adapter=model, body={}), dict[str, Any])
    assert_type(await ctx.step.ai.infer("pay", adapter=model, body={}, cost=lambda said: said["t"]), dict[str, Any])
    assert_type(
        await ctx.group.parallel((lambda: ctx.step.run("a", no_arguments), lambda: ctx.step.run("b", no_arguments))),
        tuple[str, ...],
    )
    assert_type(await decorated(1, twice=True), float)
    assert_type(ctx.event.data["a"], inngest.JSON)
    ctx.logger.info("hello %s", ctx.run_id)
    return 1


@client.create_function(
    fn_id="now",
    trigger=inngest.TriggerEvent(event="e"),
    on_failure=lambda ctx: None,
    concurrency=[inngest.Concurrency(limit=1)],
)
def now(ctx: inngest.ContextSync) -> list[str]:
    assert_type(ctx.step.run("load", load_now, 1, "a"), dict[str, int])
    assert_type(ctx.step.run("lambda", lambda: 1), int)
    assert_type(ctx.step.run("costly", load_now, 1, "a", cost=lambda found: found["a"] * 0.5), dict[str, int])
    assert_type(ctx.step.invoke("call", function=later), int)
    assert_type(ctx.group.parallel((lambda: 1, lambda: 2)), tuple[int, ...])
    return [str(ctx.attempt)]


assert_type(later, inngest.Function[int])
assert_type(now, inngest.Function[list[str]])


class Audit(inngest.Middleware):
    async def transform_output(self, result: inngest.TransformOutputResult) -> None:
        if result.has_output():
            self.client.logger.info("%s", result.output)


async def use() -> None:
    assert_type(await client.send(inngest.Event(name="e"), session=object()), list[str])
    assert_type(client.send_sync([inngest.Event(name="e")]), list[str])
    client.add_middleware(Audit)
    client.set_logger(logging.getLogger())
    assert_type(mocked.trigger(later, inngest.Event(name="e"), mocked.Inngest(app_id="a")).status, mocked.Status)
    try:
        raise inngest.RetryAfterError("later", 1000)
    except inngest.StepError as error:
        assert_type(error.message, str)
