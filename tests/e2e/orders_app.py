"""An app whose functions use every kind of step and write down each time that a step's body runs.

``BROKER``, ``JOURNAL`` and ``INNGEST_DATABASE_URL`` say where, ``CONF`` (JSON) what else to
configure. While the file ``GATE`` is there, no body ends.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from datetime import timedelta
from functools import partial
from pathlib import Path

from celery import Celery

import inngest_celery as inngest

app = Celery("orders", broker=os.environ["BROKER"])
app.conf.update(json.loads(os.environ.get("CONF", "{}")))
client = inngest.Inngest(app_id="orders", celery=app)

SAME_ORDER = "async.data.order == event.data.order"


def work(run_id: str, step: str) -> str:
    """A step's body: note that it ran, and give something that no other execution gives."""
    token = uuid.uuid4().hex
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(journal, f"{run_id} {step} {token}\n".encode())
    finally:
        os.close(journal)
    gate = Path(os.environ["GATE"])
    while gate.exists():
        time.sleep(0.01)
    return token


def book(run_id: str, attempt: int) -> str:
    """A body that fails the first time, by design and not by crash."""
    if attempt == 0:
        raise ConnectionError("the ledger does not answer")
    return work(run_id, "book")


@client.create_function(fn_id="pack", trigger=inngest.TriggerEvent(event="order/pack"))
async def pack(ctx: inngest.Context) -> str:
    async def wrap() -> str:
        return work(ctx.run_id, "wrap")

    return await ctx.step.run("wrap", wrap)


@client.create_function(fn_id="order", trigger=inngest.TriggerEvent(event="order/placed"))
async def order(ctx: inngest.Context) -> dict[str, object]:
    step = ctx.step

    async def body(name: str) -> str:
        return work(ctx.run_id, name)

    async def flaky() -> str:
        return book(ctx.run_id, ctx.attempt)

    reserved = await step.run("reserve", body, "reserve")
    charged, notified = await ctx.group.parallel(
        (lambda: step.run("charge", body, "charge"), lambda: step.run("notify", body, "notify"))
    )
    await step.sleep("settle", timedelta(seconds=1))
    approval = await step.wait_for_event(
        "approval", event="order/approved", if_exp=SAME_ORDER, timeout=timedelta(hours=1)
    )
    packed = await step.invoke("pack", function=pack)
    booked = await step.run("book", flaky)
    archived = await step.run("archive", body, "archive")
    return _summary(reserved, charged, notified, approval, packed, booked, archived)


@client.create_function(fn_id="order-sync", trigger=inngest.TriggerEvent(event="order/placed-sync"))
def order_sync(ctx: inngest.ContextSync) -> dict[str, object]:
    step, body = ctx.step, partial(work, ctx.run_id)
    reserved = step.run("reserve", body, "reserve")
    charged, notified = ctx.group.parallel(
        (lambda: step.run("charge", body, "charge"), lambda: step.run("notify", body, "notify"))
    )
    step.sleep("settle", timedelta(seconds=1))
    approval = step.wait_for_event("approval", event="order/approved", if_exp=SAME_ORDER, timeout=timedelta(hours=1))
    packed = step.invoke("pack", function=pack)
    booked = step.run("book", lambda: book(ctx.run_id, ctx.attempt))
    archived = step.run("archive", body, "archive")
    return _summary(reserved, charged, notified, approval, packed, booked, archived)


@client.create_function(
    fn_id="digest",
    trigger=inngest.TriggerEvent(event="order/viewed"),
    debounce=inngest.Debounce(period=1000, key="event.data.order"),
)
def digest(ctx: inngest.ContextSync) -> object:
    return ctx.event.data["view"]


@client.create_function(
    fn_id="ship",
    trigger=inngest.TriggerEvent(event="order/packed"),
    batch_events=inngest.Batch(max_size=3, timeout=1000, key="event.data.order"),
)
def ship(ctx: inngest.ContextSync) -> object:
    return [event.data["parcel"] for event in ctx.events]


def _summary(
    reserved: str,
    charged: object,
    notified: object,
    approval: inngest.Event | None,
    packed: object,
    booked: str,
    archived: str,
) -> dict[str, object]:
    return {
        "reserve": reserved,
        "charge": charged,
        "notify": notified,
        "approval": approval.data["by"] if approval else None,
        "pack": packed,
        "book": booked,
        "archive": archived,
    }
