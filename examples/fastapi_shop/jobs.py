"""What workers import: the Celery app, the client, and what becomes of an order. FastAPI is not among it."""

from __future__ import annotations

from datetime import timedelta

from celery import Celery

import inngest_celery as inngest

# CELERY_BROKER_URL names the broker, INNGEST_DATABASE_URL the database.
app = Celery("fastapi_shop")
client = inngest.Inngest(app_id="fastapi-shop", celery=app)


async def pack(order_id: int) -> str:
    """Give the parcel's number."""
    return f"parcel-{order_id}"


@client.create_function(fn_id="fulfil", trigger=inngest.TriggerEvent(event="shop/order.placed"))
async def fulfil(ctx: inngest.Context) -> str:
    """Pack an order, and wait for the parcel service."""
    parcel = await ctx.step.run("pack", pack, int(str(ctx.event.data["order"])))
    collected = await ctx.step.wait_for_event(
        "collected",
        event="shop/parcel.collected",
        if_exp="event.data.order == async.data.order",
        timeout=timedelta(days=7),
    )
    return f"{parcel} {'is on its way' if collected else 'lies about'}"
