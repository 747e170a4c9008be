"""``/v1/events``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from inngest_celery.server.errors import REFUSALS, ApiError
from inngest_celery.server.runs import checked
from inngest_celery.server.state import Serving
from inngest_celery.server.times import read_instant
from inngest_celery.server.v1.shapes import Envelope, EventShape, RunShape, enveloped, event_shape, run_shape
from inngest_celery.store import events, functions, runs

router = APIRouter(prefix="/events", responses=REFUSALS)

_MOST = 100


@router.get("")
def list_events(
    server: Serving,
    limit: Annotated[int, Query(ge=1)] = 20,
    cursor: str | None = None,
    name: str | None = None,
    received_after: str | None = None,
    received_before: str | None = None,
) -> Envelope[list[EventShape]]:
    """Give events, the newest first; those that this server makes itself only where they are named."""
    with server.runtime.database.autocommit() as connection:
        found = events.page(
            connection,
            limit=min(limit, _MOST),
            before=checked(cursor) if cursor else None,
            names=[name] if name else None,
            since=read_instant(received_after, "received_after"),
            until=read_instant(received_before, "received_before"),
        )
    return enveloped(server, [event_shape(server, event) for event in found])


@router.get("/{event_id}")
def get_event(server: Serving, event_id: str) -> Envelope[EventShape]:
    """Give one event by the id that sending it gave."""
    with server.runtime.database.autocommit() as connection:
        event = events.get(connection, checked(event_id))
    if event is None:
        raise ApiError(404, f"There is no event {event_id}", code="not_found")
    return enveloped(server, event_shape(server, event))


@router.get("/{event_id}/runs")
def runs_of_event(server: Serving, event_id: str) -> Envelope[list[RunShape]]:
    """Give the runs that an event has started so far."""
    with server.runtime.database.autocommit() as connection:
        found = runs.of_event(connection, checked(event_id))
        known = functions.several(connection, {run.function_id for run in found})
    return enveloped(server, [run_shape(server, run, known.get(run.function_id)) for run in found])
