"""Events: what came in, what each has caused, and sending one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from inngest_celery.engine.expressions import ExpressionError
from inngest_celery.engine.searching import condition, searched, variables_of
from inngest_celery.sdk.errors import EventInvalidError
from inngest_celery.server import notices
from inngest_celery.server.dashboard.acting import Acting
from inngest_celery.server.dashboard.filters import LAST
from inngest_celery.server.errors import ApiError
from inngest_celery.server.events import asking, store
from inngest_celery.server.rendering import page
from inngest_celery.server.state import Server, Serving
from inngest_celery.server.viewing import eyes_of
from inngest_celery.store import events, runs
from inngest_celery.store.rows import Event
from inngest_celery.store.runs import StartedRun

router = APIRouter()

_ON_A_PAGE = 40
_RUNS_SHOWN = 100
_EXAMPLE = '{\n  "name": "app/something.happened",\n  "data": {}\n}'


@dataclass(slots=True)
class _Page:
    """Some events, the runs that each has started, and behind which one the next page begins."""

    events: list[Event] = field(default_factory=list)
    runs: dict[str, list[StartedRun]] = field(default_factory=dict)
    before: str | None = None
    error: str | None = None


@router.get("/event")
def event_of_official_address(eventID: str = "") -> Response:
    """Lead an address of the official dashboard on."""
    return RedirectResponse(f"/events/{eventID}" if eventID else "/events", status_code=307)


@router.get("/events")
def list_events(
    request: Request,
    server: Serving,
    name: str = "",
    last: str = "",
    where: str = "",
    internal: bool = False,
    before: str = "",
) -> Response:
    """Show events, the newest first."""
    wanted = {"name": name, "last": last, "where": where, "internal": "true" if internal else ""}
    try:
        found = _read(server, name, last, where, internal=internal, before=before)
    except (ApiError, ExpressionError) as error:
        found = _Page(error=str(error))
    return page(
        request,
        "events.html",
        400 if found.error else 200,
        found=found,
        wanted=wanted,
        before=before,
        lasts=tuple(LAST),
        example=_EXAMPLE,
    )


def _read(server: Server, name: str, last: str, where: str, *, internal: bool, before: str) -> _Page:
    if last and last not in LAST:
        raise ApiError(400, f"last: {last!r} is none of {', '.join(LAST)}", code="invalid_field_format")
    since = server.runtime.clock.now() - LAST[last] if last else None
    holds, eyes = condition(where), eyes_of(server)

    def read(behind: Event | None, limit: int) -> list[Event]:
        with server.runtime.database.autocommit() as connection:
            found = events.page(
                connection,
                limit=limit,
                before=behind.id if behind else before or None,
                names=[name] if name else None,
                since=since,
                internal=internal,
            )
        # Before anything is looked for: what they may not see, they may not find either.
        return [eyes.event(event) for event in found]

    if holds is None:
        found = read(None, _ON_A_PAGE + 1)
    else:
        found = list(searched(read, lambda event: holds(variables_of(None, event)), _ON_A_PAGE + 1))
    shown = found[:_ON_A_PAGE]
    with server.runtime.database.autocommit() as connection:
        started = runs.started_by(connection, [event.id for event in shown])
    return _Page(shown, started, shown[-1].id if len(found) > _ON_A_PAGE else None)


@router.get("/events/{event_id}")
def show_event(request: Request, server: Serving, event_id: str) -> Response:
    """Show an event, and the runs that it has started."""
    with server.runtime.database.autocommit() as connection:
        event = events.get(connection, event_id)
        if event is None:
            raise ApiError(404, f"There is no event {event_id}.", code="event_not_found")
        started = runs.started_by(connection, [event.id]).get(event.id, [])
    event = eyes_of(server).event(event)
    return page(
        request,
        "event.html",
        event=event,
        runs=started[:_RUNS_SHOWN],
        more=max(len(started) - _RUNS_SHOWN, 0),
        event_json=json.dumps({"name": event.name, "data": json.loads(event.data)}, indent=2, ensure_ascii=False),
        internal=event.name.startswith("inngest/"),
    )


@router.post("/events")
def send(server: Serving, acting: Acting, event: Annotated[str, Form()]) -> Response:
    """Send what an editor holds: one event, or a list of them."""
    try:
        given = json.loads(event)
        with acting.does("event.send") as entry:
            sent = store(server, given if isinstance(given, list) else [given], by=asking(server))
            entry.tell(ids=sent[:_RUNS_SHOWN], number=len(sent))
    except (ValueError, EventInvalidError) as error:
        raise ApiError(400, f"Nothing was sent: {error}", code=getattr(error, "code", "body_invalid")) from error
    if len(sent) == 1:
        return notices.redirect(f"/events/{sent[0]}", "The event was sent.")
    return notices.redirect("/events", f"{len(sent)} events were sent.")
