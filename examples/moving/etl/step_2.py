"""Last deploy: a page is fetched in one step, and stored by the next one in the same commit as the step itself."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import inngest_celery as inngest
from examples.moving.etl import vendor
from examples.moving.etl.project import create_app, create_celery, load

flask = create_app()
app = create_celery(flask)
client = inngest.Inngest(app_id="etl", celery=app)


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

    def load_page(page: int) -> int:
        lines = ctx.step.run(f"fetch {page}", vendor.lines_of, export, page)
        return ctx.step.transaction(f"load {page}", load, lines)

    loaded = ctx.group.parallel(tuple(partial(load_page, page) for page in range(vendor.PAGES)))
    return {"source": source, "lines": sum(loaded)}
