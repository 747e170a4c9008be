"""First deploy: waiting for the export is sleeping, which costs a row. The pages stay the chord that they were."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import Task, chord

import inngest_celery as inngest
from examples.moving.etl import vendor
from examples.moving.etl.project import create_app, create_celery, load, new_session

flask = create_app()
app = create_celery(flask)
client = inngest.Inngest(app_id="etl", celery=app)


@app.task(name="etl.load_page", autoretry_for=(ConnectionError,), max_retries=5, default_retry_delay=0.1)  # type: ignore[untyped-decorator]
def load_page(export: str, page: int) -> int:
    with new_session() as session, session.begin():
        return load(session, vendor.lines_of(export, page))


@app.task(name="etl.summarise")  # type: ignore[untyped-decorator]
def summarise(loaded: list[int], source: str) -> dict[str, Any]:
    return {"source": source, "lines": sum(loaded)}


@app.task(name="etl.collect", bind=True, max_retries=1000)  # type: ignore[untyped-decorator]
def collect(self: Task, export: str, source: str) -> Any:
    """For the imports that the deploy finds half done. It goes when there are none any more."""
    if not vendor.is_ready(export):
        raise self.retry(countdown=0.2)
    raise self.replace(chord([load_page.s(export, page) for page in range(vendor.PAGES)], summarise.s(source)))


@client.create_function(
    fn_id="import",
    trigger=inngest.TriggerEvent(event="etl/import.wanted"),
    replaces=inngest.Legacy("etl.import", parameters=("source",)),
)
def import_(ctx: inngest.ContextSync) -> dict[str, Any]:
    source = str(ctx.event.data["source"])
    export = ctx.step.run("begin export", vendor.begin_export, source)
    while not ctx.step.run("look", vendor.is_ready, export):
        ctx.step.sleep("a while", timedelta(seconds=0.2))
    pages = [load_page.s(export, page) for page in range(vendor.PAGES)]
    imported: dict[str, Any] = ctx.step.celery("load", chord(pages, summarise.s(source)))
    return imported
