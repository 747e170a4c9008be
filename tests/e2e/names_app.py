"""A function whose steps have the names that its event gives. ``BROKER`` and ``INNGEST_DATABASE_URL`` say where."""

from __future__ import annotations

import os

from celery import Celery

import inngest_celery as inngest

app = Celery("names", broker=os.environ["BROKER"])
client = inngest.Inngest(app_id="names", celery=app)


@client.create_function(fn_id="many", trigger=inngest.TriggerEvent(event="names/given"))
def many(ctx: inngest.ContextSync) -> None:
    for step in ctx.event.data["steps"]:
        ctx.step.run(str(step), int)
