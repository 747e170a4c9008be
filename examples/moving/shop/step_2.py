"""Second deploy: the order and its event are one commit, and the steps are the function's own.

The tasks are there for messages and runs that the deploy before has left; the next deploy deletes them.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

import inngest_celery as inngest
from examples.moving.shop import handling, tasks
from examples.moving.shop.celery import app
from examples.moving.shop.orders.models import Item, Order
from inngest_celery.django import atomic_step, send

__all__ = ["client", "fulfil", "place", "review", "tasks"]

client = inngest.Inngest(app_id="shop", celery=app)


@atomic_step
def reserve(order_id: int) -> int:
    """Take the pieces in the same commit as the step itself."""
    try:
        return handling.reserve(order_id)
    except handling.SoldOut as error:
        raise inngest.NonRetriableError(str(error)) from error


ship = atomic_step(handling.ship)


@client.create_function(
    fn_id="fulfil",
    trigger=inngest.TriggerEvent(event="shop/order.placed"),
    replaces=inngest.Legacy("orders.fulfil", parameters=("order",)),
    retries=20,
)
def fulfil(ctx: inngest.ContextSync) -> str:
    order_id = int(ctx.event.data["order"])
    try:
        ctx.step.transaction("reserve", reserve, order_id)
    except inngest.StepError:
        ctx.step.run("refuse", handling.refuse, order_id)
        return "refused"
    ctx.step.run("charge", handling.charge, order_id)
    ctx.step.transaction("ship", ship, order_id)
    told = ctx.step.wait_for_event(
        "let it be used",
        event="shop/order.reviewed",
        if_exp="event.data.order == async.data.order",
        timeout=timedelta(seconds=handling.REVIEW_AFTER_S),
    )
    if told is None:
        ctx.step.run("ask for review", handling.ask_for_review, order_id)
    return "shipped"


def place(item: Item, pieces: int) -> Order:
    """Take an order: there is never one without its event."""
    with transaction.atomic():
        order = Order.objects.create(item=item, pieces=pieces)
        send(client, inngest.Event(name="shop/order.placed", data={"order": order.pk}))
    return order


def review(order: Order) -> None:
    """Take a review, and tell the order's run of it."""
    with transaction.atomic():
        handling.review(order)
        send(client, inngest.Event(name="shop/order.reviewed", data={"order": order.pk}))
