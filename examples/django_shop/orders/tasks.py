"""The durable function that carries an order on."""

from datetime import timedelta

from shop.celery import app

import inngest_celery as inngest
from inngest_celery.django import atomic_step
from orders.models import Item, Order

client = inngest.Inngest(app_id="shop", celery=app)


@atomic_step
def take_from_stock(order_id: int) -> int:
    """Take the pieces, exactly once: the rows and the step's result are one commit."""
    order = Order.objects.select_related("item").get(pk=order_id)
    item = Item.objects.select_for_update().get(pk=order.item_id)
    if item.stock < order.pieces:
        raise inngest.NonRetriableError(f"only {item.stock} of {item.name} are left")
    item.stock -= order.pieces
    item.save()
    Order.objects.filter(pk=order_id).update(status="packed")
    return item.stock


@atomic_step
def ship(order_id: int) -> None:
    Order.objects.filter(pk=order_id).update(status="shipped")


@client.create_function(fn_id="fulfil", trigger=inngest.TriggerEvent(event="shop/order.placed"))
def fulfil(ctx: inngest.ContextSync) -> dict[str, object]:
    order_id = int(ctx.event.data["order"])
    left = ctx.step.transaction("take-from-stock", take_from_stock, order_id)
    ctx.step.sleep("wait for the van", timedelta(seconds=1))
    ctx.step.transaction("ship", ship, order_id)
    return {"order": order_id, "left": left}
