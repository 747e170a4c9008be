"""The app of the deployment in ``compose.yaml``. Broker and database are those of the environment.

Send it an event, with the key of ``.env``::

    curl http://localhost:8288/e/$INNGEST_EVENT_KEY --json '{"name": "shop/order.placed", "data": {"order": 7}}'
"""

from __future__ import annotations

from datetime import timedelta

from celery import Celery

import inngest_celery as inngest

app = Celery("shop")
client = inngest.Inngest(app_id="shop", celery=app)


def charge(order: object) -> dict[str, object]:
    return {"order": order, "paid": True}


@client.create_function(fn_id="order", trigger=inngest.TriggerEvent(event="shop/order.placed"))
def order(ctx: inngest.ContextSync) -> dict[str, object]:
    paid = ctx.step.run("charge", charge, ctx.event.data["order"])
    ctx.step.sleep("cool-down", timedelta(seconds=1))
    return paid
