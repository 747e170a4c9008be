"""First deploy: a durable function has the chain's place and its name; the tasks and their callers stay.

What a failure does is an ``except``, and the days until the review are a row.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

import inngest_celery as inngest
from examples.moving.shop import tasks
from examples.moving.shop.celery import app
from examples.moving.shop.handling import REVIEW_AFTER_S, review
from examples.moving.shop.orders.models import Item, Order

__all__ = ["client", "fulfil", "place", "review"]

client = inngest.Inngest(app_id="shop", celery=app)


@client.create_function(
    fn_id="fulfil",
    trigger=inngest.TriggerEvent(event="shop/order.placed"),
    replaces=inngest.Legacy("orders.fulfil", parameters=("order",)),
    retries=0,
)
def fulfil(ctx: inngest.ContextSync) -> str:
    order_id = int(ctx.event.data["order"])
    try:
        ctx.step.celery("reserve", tasks.reserve.si(order_id))
    except inngest.StepError:
        ctx.step.celery("refuse", tasks.refuse.si(order_id))
        return "refused"
    ctx.step.celery("charge", tasks.charge.si(order_id))
    ctx.step.celery("ship", tasks.ship.si(order_id))
    ctx.step.sleep("let it be used", timedelta(seconds=REVIEW_AFTER_S))
    ctx.step.celery("ask for review", tasks.ask_for_review.si(order_id))
    return "shipped"


def place(item: Item, pieces: int) -> Order:
    """Take an order. Whoever sends the task's name starts a run."""
    with transaction.atomic():
        order = Order.objects.create(item=item, pieces=pieces)
        transaction.on_commit(lambda: app.send_task("orders.fulfil", [order.pk]))
    return order
