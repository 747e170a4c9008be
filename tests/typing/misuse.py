"""Code that type checkers must refuse: mypy with exactly the code that is ignored here, pyright at the same lines."""

from __future__ import annotations

import inngest_celery as inngest

client = inngest.Inngest(app_id="shop")


async def load(user_id: int) -> str:
    return str(user_id)


def load_now(user_id: int) -> str:
    return str(user_id)


@client.create_function(fn_id="later", trigger=inngest.TriggerEvent(event="e"))
async def later(ctx: inngest.Context) -> int:
    await ctx.step.run("load", load, "seven")  # type: ignore[arg-type]
    await ctx.step.run("load", load)  # type: ignore[arg-type]
    await ctx.step.run("load", load_now, 7)  # type: ignore[arg-type]
    await ctx.step.run("load", load(7))  # type: ignore[arg-type]
    await ctx.step.run(load, 7)  # type: ignore[arg-type]
    await ctx.step.run("load", load, 7, cost="7")  # type: ignore[arg-type]
    await ctx.step.run("load", load, 7, cost=load_now)  # type: ignore[arg-type]
    await ctx.step.run("load", load, 7, cost=lambda text: text)  # type: ignore[misc]
    await ctx.step.sleep("nap", "3 days")  # type: ignore[arg-type]
    await ctx.step.wait_for_event("paid", event="e")  # type: ignore[call-arg]
    await ctx.step.send_event("tell", "shop/paid")  # type: ignore[arg-type]
    await ctx.step.invoke("call", function="later")  # type: ignore[arg-type]
    total: int = await ctx.step.run("load", load, 7)  # type: ignore[arg-type]
    ctx.step.wait_for_evnt("paid")  # type: ignore[attr-defined]
    return total


@client.create_function(fn_id="now", trigger=inngest.TriggerEvent(event="e"))
def now(ctx: inngest.ContextSync) -> None:
    ctx.step.run("load", load_now, "seven")  # type: ignore[arg-type]
    ctx.step.run("load", load_now, 7, cost=lambda text: text.length)  # type: ignore[attr-defined]
    text: int = ctx.step.run("load", load_now, 7)  # type: ignore[assignment]
    ctx.group.parallel(lambda: text)  # type: ignore[arg-type]


client.create_function(fn_id="a")  # type: ignore[call-arg]
client.create_function(fn_id="a", trigger="shop/paid")  # type: ignore[arg-type]
client.create_function(fn_id="a", trigger=inngest.TriggerEvent(event="e"), retrys=3)  # type: ignore[call-arg]
client.create_function(fn_id="a", trigger=inngest.TriggerEvent(event="e"), concurrency=5)  # type: ignore[arg-type]
inngest.ConcurrencyLevels(fn=inngest.Concurrency(limit=1))  # type: ignore[arg-type]
client.send_sync("shop/paid")  # type: ignore[arg-type]
inngest.Throttle(limit="1", period=1000)  # type: ignore[arg-type]
inngest.Budget(limit=1, period=1000, mode="skip")  # type: ignore[arg-type]
inngest.Throttle(limit=1)  # type: ignore[call-arg]
inngest.Singleton(mode="wait")  # type: ignore[arg-type]
inngest.Event(name="e", data=[1])  # type: ignore[arg-type]
inngest.Inngest("shop")  # type: ignore[call-arg]
inngest.Inngest(app_id="shop", middleware=[inngest.Middleware(client, None)])  # type: ignore[list-item]
