"""The same job as a durable function. Its steps call the tasks' own code, so both ways can be in use side by side."""

from __future__ import annotations

from datetime import timedelta

import inngest_celery as inngest
from examples.existing_project.app import client
from examples.existing_project.tasks import ask_opinion, charge, pack


@client.create_function(
    fn_id="fulfil",
    trigger=inngest.TriggerEvent(event="shop/order.placed"),
    cancel=[inngest.Cancel(event="shop/order.cancelled", if_exp="event.data.order == async.data.order")],
)
def fulfil(ctx: inngest.ContextSync) -> str:
    """Not async, as the tasks are not. In old code, ``fulfil.delay({"order": 7})`` starts it, too."""
    payment: str = ctx.step.run("charge", charge, ctx.event.data["order"])
    parcel: str = ctx.step.run("pack", pack, payment)
    ctx.step.sleep("let them use it", timedelta(days=3))
    question: str = ctx.step.run("ask opinion", ask_opinion, parcel)
    return question
