"""The shop as it was: a chain, sent once the order's commit is through, and a message with an ETA of days.

A process that dies between the commit and the message leaves an order that nobody ever looks at.
"""

from __future__ import annotations

from django.db import transaction

from examples.moving.shop import tasks
from examples.moving.shop.celery import app
from examples.moving.shop.handling import REVIEW_AFTER_S, review
from examples.moving.shop.orders.models import Item, Order

__all__ = ["fulfil", "place", "review"]


@app.task(name="orders.fulfil")
def fulfil(order_id: int) -> None:
    review = tasks.ask_for_review.si(order_id).set(countdown=REVIEW_AFTER_S)
    steps = tasks.reserve.si(order_id) | tasks.charge.si(order_id) | tasks.ship.si(order_id) | review
    steps.on_error(tasks.refuse.si(order_id)).delay()


def place(item: Item, pieces: int) -> Order:
    """Take an order."""
    with transaction.atomic():
        order = Order.objects.create(item=item, pieces=pieces)
        transaction.on_commit(lambda: fulfil.delay(order.pk))
    return order
