"""Last deploy: no task of the old fleet is left. Shrinking is a function of its own, on machines of its own."""

from __future__ import annotations

from functools import partial

from celery import Celery

import inngest_celery as inngest
from examples.moving.fleet import pictures

app = Celery("fleet")
app.config_from_object("examples.moving.fleet.celeryconfig")
client = inngest.Inngest(app_id="fleet", celery=app)


@client.create_function(
    fn_id="shrink",
    trigger=inngest.TriggerEvent(event="fleet/picture.copied"),
    celery_options={"queue": "cpu"},
    # Calls of the deploy before, which may still wait for a machine.
    replaces=inngest.Legacy("fleet.shrink", parameters=("name", "width")),
)
def shrink(ctx: inngest.ContextSync) -> str:
    name, width = str(ctx.event.data["name"]), int(str(ctx.event.data["width"]))
    return ctx.step.run("shrink", pictures.shrink, name, width)


@client.create_function(
    fn_id="ingest",
    trigger=inngest.TriggerEvent(event="fleet/picture.added"),
    replaces=inngest.Legacy("fleet.ingest", parameters=("picture",)),
    retries=3,
)
def ingest(ctx: inngest.ContextSync) -> dict[str, object]:
    picture = str(ctx.event.data["picture"])
    name = ctx.step.run("copy", _copied, picture)
    thumbnails = ctx.group.parallel(
        tuple(
            partial(ctx.step.invoke, f"shrink to {width}", function=shrink, data={"name": name, "width": width})
            for width in pictures.WIDTHS
        )
    )
    return ctx.step.run("publish", pictures.publish, picture, list(thumbnails))


def _copied(picture: str) -> str:
    try:
        return pictures.copy(picture)
    except FileNotFoundError as error:
        raise inngest.NonRetriableError(str(error)) from error
