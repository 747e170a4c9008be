"""What becomes of an order."""

from __future__ import annotations

from datetime import timedelta

from flask import current_app

import inngest_celery as inngest
from examples.flask_shop.models import Order, db


def pack(order_id: int) -> str:
    """Give the parcel's number. As any code of the shop it uses ``db`` and ``current_app``.

    Packing an order that is packed changes nothing, so that a worker that dies here does no harm.
    """
    order = db.session.get_one(Order, order_id)
    order.parcel = f"{current_app.name.rpartition('.')[2]}-{order_id}"
    db.session.commit()
    return order.parcel


def define(client: inngest.Inngest) -> None:
    """Define the functions on an app's client. The factory does it, so that each app that it makes has its own."""

    @client.create_function(fn_id="fulfil", trigger=inngest.TriggerEvent(event="shop/order.placed"))
    def fulfil(ctx: inngest.ContextSync) -> str:
        parcel = ctx.step.run("pack", pack, int(str(ctx.event.data["order"])))
        collected = ctx.step.wait_for_event(
            "collected",
            event="shop/parcel.collected",
            if_exp="event.data.order == async.data.order",
            timeout=timedelta(days=7),
        )
        return f"{parcel} {'is on its way' if collected else 'lies about'}"
