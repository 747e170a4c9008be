"""The tasks as they were, one for each thing that is done with an order."""

from __future__ import annotations

from examples.moving.shop import handling
from examples.moving.shop.celery import app


@app.task(name="orders.reserve", acks_late=True)
def reserve(order_id: int) -> int:
    return handling.reserve(order_id)


@app.task(
    name="orders.charge",
    acks_late=True,
    autoretry_for=(ConnectionError,),
    max_retries=None,
    retry_backoff=False,
    default_retry_delay=0.2,
)
def charge(order_id: int) -> str:
    return handling.charge(order_id)


@app.task(name="orders.ship", acks_late=True)
def ship(order_id: int) -> None:
    handling.ship(order_id)


@app.task(name="orders.refuse")
def refuse(order_id: int) -> None:
    handling.refuse(order_id)


@app.task(name="orders.ask_for_review")
def ask_for_review(order_id: int) -> None:
    handling.ask_for_review(order_id)
