"""A Celery app with one function, for workers that look at their database before they start."""

from __future__ import annotations

import os

from celery import Celery

import inngest_celery as inngest

app = Celery("startup", broker=os.environ["BROKER"])
if "DATABASE" in os.environ:
    app.conf.inngest_database_url = os.environ["DATABASE"]
app.conf.inngest_sweep_interval = 0.1
client = inngest.Inngest(app_id="startup", celery=app)


THROTTLE = inngest.Throttle(limit=1, period=60_000) if "THROTTLED" in os.environ else None


@client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="user/joined"), throttle=THROTTLE)
def greet(ctx: inngest.ContextSync) -> str:
    return f"hello {ctx.event.data['name']}"
