"""The project as it was: a task that sends itself again until the export is there, then a chord of pages."""

from __future__ import annotations

from typing import Any

from celery import Task, chord

from examples.moving.etl import vendor
from examples.moving.etl.project import create_app, create_celery, load, new_session

flask = create_app()
app = create_celery(flask)


@app.task(name="etl.load_page", autoretry_for=(ConnectionError,), max_retries=5, default_retry_delay=0.1)  # type: ignore[untyped-decorator]
def load_page(export: str, page: int) -> int:
    with new_session() as session, session.begin():
        return load(session, vendor.lines_of(export, page))


@app.task(name="etl.summarise")  # type: ignore[untyped-decorator]
def summarise(loaded: list[int], source: str) -> dict[str, Any]:
    return {"source": source, "lines": sum(loaded)}


@app.task(name="etl.collect", bind=True, max_retries=1000)  # type: ignore[untyped-decorator]
def collect(self: Task, export: str, source: str) -> Any:
    if not vendor.is_ready(export):
        # A message with an ETA, in some worker's memory, as often as it takes.
        raise self.retry(countdown=0.2)
    raise self.replace(chord([load_page.s(export, page) for page in range(vendor.PAGES)], summarise.s(source)))


@app.task(name="etl.import", bind=True)  # type: ignore[untyped-decorator]
def import_(self: Task, source: str) -> Any:
    """Sent by beat every night, and by people who cannot wait."""
    raise self.replace(collect.s(vendor.begin_export(source), source))
