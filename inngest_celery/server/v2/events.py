"""``/v2/events``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from inngest_celery.sdk.errors import EventInvalidError
from inngest_celery.server import events as event_api
from inngest_celery.server.access import Operator, audit
from inngest_celery.server.errors import ApiError
from inngest_celery.server.runs import checked
from inngest_celery.server.state import Serving
from inngest_celery.server.v2.runs import shaped
from inngest_celery.server.v2.shapes import Answer, Listed, RunShape, Shape, answered, listed
from inngest_celery.server.v2.tools import as_tool
from inngest_celery.store import events, runs

router = APIRouter(prefix="/events")


class EventRequest(Shape):
    """An event to send."""

    name: str
    data: dict[str, Any] = Field(default_factory=dict)
    user: dict[str, Any] | None = None
    id: str | None = None
    ts: int | None = None


class Sent(Shape):
    event_id: str


@router.post("", status_code=201)
def send(request: Request, server: Serving, person: Operator, given: EventRequest) -> Answer[Sent]:
    """Store an event and have it routed."""
    try:
        with audit.record(request, person, "event.send", given.name) as entry:
            [event_id] = event_api.store(server, [given.model_dump(exclude_none=True)], by=event_api.asking(server))
            entry.tell(event_id=event_id)
    except EventInvalidError as error:
        raise ApiError(400, str(error), code=error.code) from error
    return answered(server, Sent(event_id=event_id))


@router.get("/{event_id}/runs", openapi_extra=as_tool("get_event_runs"))
def runs_of_event(server: Serving, event_id: str, limit: Annotated[int, Query(ge=1, le=40)] = 20) -> Listed[RunShape]:
    """Give the runs that an event has started so far, with their outputs. None yet: it may be routed in a moment."""
    with server.runtime.database.autocommit() as connection:
        event = events.get(connection, checked(event_id))
        found = runs.of_event(connection, event_id)
    if event is None:
        raise ApiError(404, f"There is no event {event_id}", code="not_found")
    shown = shaped(server, found[:limit], with_output=True)
    return listed(server, shown, None, more=len(found) > limit, limit=limit)
