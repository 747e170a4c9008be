"""Place an order, and ask how it stands."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app, request

import inngest_celery as inngest
from examples.flask_shop.models import Order, db

orders = Blueprint("orders", __name__, url_prefix="/orders")


@orders.post("/")
def place() -> tuple[dict[str, Any], int]:
    """Store an order and start its fulfilment, both or neither."""
    order = Order(article=request.get_json()["article"])
    db.session.add(order)
    db.session.flush()
    placed = inngest.Event(name="shop/order.placed", data={"order": order.id})
    [order.event_id] = _client().send_sync(placed, session=db.session)
    db.session.commit()
    return {"order": order.id}, 202


@orders.get("/<int:order_id>")
def show(order_id: int) -> dict[str, Any]:
    """Tell how an order stands."""
    order = db.get_or_404(Order, order_id)
    told = {"article": order.article, "parcel": order.parcel}
    runs = _client().runs.of_event(order.event_id)
    if not runs:
        # The event was sent a moment ago.
        return told
    [run] = runs
    # Looked up in the database alone; workers are not asked.
    waits = [reason.text for reason in _client().runs.why(run.id, timeout=0).reasons]
    return {**told, "status": run.status.name.lower(), "output": run.output, "why": waits}


@orders.post("/<int:order_id>/collected")
def collect(order_id: int) -> tuple[str, int]:
    """Tell that the parcel service has come."""
    _client().send_sync(inngest.Event(name="shop/parcel.collected", data={"order": order_id}))
    return "", 202


def _client() -> inngest.Inngest:
    client: inngest.Inngest = current_app.extensions["inngest"]
    return client
