"""The fleet as it was: a canvas that is made on the way."""

from __future__ import annotations

from typing import Any

from celery import Celery, Task, chain, chord

from examples.moving.fleet import pictures

app = Celery("fleet")
app.config_from_object("examples.moving.fleet.celeryconfig")


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
    raise self.replace(chord([shrink.s(name, width) for width in pictures.WIDTHS], publish.s(picture)))


@app.task(name="fleet.ingest", bind=True)  # type: ignore[untyped-decorator]
def ingest(self: Task, picture: str) -> Any:
    """Called from everywhere, by name: ``app.send_task("fleet.ingest", [picture])``."""
    raise self.replace(chain(copy.s(picture), spread.s(picture)))
