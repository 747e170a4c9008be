"""First deploy: the tasks stay as they are, and a durable function puts them together in the canvas's place.

It has the name of the task that everybody calls, and their arguments. While it waits for a task it holds no worker.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, Task, chord, group

import inngest_celery as inngest
from examples.moving.fleet import pictures

app = Celery("fleet")
app.config_from_object("examples.moving.fleet.celeryconfig")
client = inngest.Inngest(app_id="fleet", celery=app)


@app.task(name="fleet.copy", autoretry_for=(ConnectionError,), max_retries=3, default_retry_delay=0.1)  # type: ignore[untyped-decorator]
def copy(picture: str) -> str:
    return pictures.copy(picture)


@app.task(name="fleet.shrink", acks_late=True)  # type: ignore[untyped-decorator]
def shrink(name: str, width: int) -> str:
    return pictures.shrink(name, width)


@app.task(name="fleet.publish")  # type: ignore[untyped-decorator]
def publish(thumbnails: list[str], picture: str) -> dict[str, object]:
    return pictures.publish(picture, thumbnails)


@app.task(name="fleet.spread", bind=True)  # type: ignore[untyped-decorator]
def spread(self: Task, name: str, picture: str) -> Any:
    """For the calls that the deploy finds half done. It goes when there are none any more."""
    raise self.replace(chord([shrink.s(name, width) for width in pictures.WIDTHS], publish.s(picture)))


@client.create_function(
    fn_id="ingest",
    trigger=inngest.TriggerEvent(event="fleet/picture.added"),
    replaces=inngest.Legacy("fleet.ingest", parameters=("picture",)),
    retries=0,
)
def ingest(ctx: inngest.ContextSync) -> dict[str, object]:
    picture = str(ctx.event.data["picture"])
    name = ctx.step.celery("copy", copy.s(picture))
    thumbnails = ctx.step.celery("shrink", group(shrink.s(name, width) for width in pictures.WIDTHS))
    published: dict[str, object] = ctx.step.celery("publish", publish.s(thumbnails, picture))
    return published
