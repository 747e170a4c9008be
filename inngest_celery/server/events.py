"""The event API: ``POST /e/{key}``, and ``POST /invoke/{slug}`` that calls one function."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from inngest_celery import ids
from inngest_celery.engine.lifecycle import INVOKED
from inngest_celery.sdk.errors import EventInvalidError
from inngest_celery.sdk.sending import MAX_EVENT_BYTES
from inngest_celery.server import incoming
from inngest_celery.server.access import require_event_key
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import Server, Serving
from inngest_celery.store import functions
from inngest_celery.worker.outbox import Outbox

router = APIRouter()

_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
# A request may hold many events, and each may be large; together they may not be everything that memory holds.
_MAX_BODY = 64 * 1024 * 1024
_SEED = "x-inngest-event-id-seed"


@router.get("/health")
def health() -> dict[str, object]:
    """Tell that the server answers."""
    return {"status": 200, "message": "OK"}


@router.post("/e/{key}")
async def send(request: Request, server: Serving, key: str) -> JSONResponse:
    """Store one event, or a list of them, and have them routed: all of them, or none."""
    require_event_key(server, key)
    given = await _read(request)
    events = given if isinstance(given, list) else [given]
    seed = request.headers.get(_SEED, "")
    try:
        sent = await run_in_threadpool(store, server, events, seed)
    except EventInvalidError as error:
        return JSONResponse({"ids": [], "status": 400, "error": str(error), "code": error.code}, 400)
    return JSONResponse({"ids": sent, "status": 200})


@router.post("/invoke/{slug}")
async def invoke(request: Request, server: Serving, slug: str) -> JSONResponse:
    """Call one function, whatever triggers it; answers with the id of the event that is the call."""
    given = await _read(request)
    if not isinstance(given, dict):
        raise ApiError(400, 'the body is no JSON object: send the event\'s data as {"data": {…}}')
    event_id = await run_in_threadpool(call, server, slug, given)
    return JSONResponse({"id": event_id, "status": 200})


def store(server: Server, given: Sequence[object], seed: str = "") -> list[str]:
    """Check events, store them and have them routed.

    Args:
        server: where.
        given: as they came.
        seed: what their ids are made of, where a repeated request is to be the same one.

    Returns:
        The id of each.

    Raises:
        EventInvalidError: one cannot be taken; none was.
    """
    events = incoming.read(given)
    now = server.runtime.clock.now()
    chosen = [ids.from_seed(seed, index) or ids.new(now) for index in range(len(events))]
    rows = [event.to_row(each, now) for event, each in zip(events, chosen, strict=True)]
    return Outbox(server.runtime).store(rows, may_repeat=bool(seed))


def call(server: Server, slug: str, given: dict[str, Any]) -> str:
    """Store the call of a function; give its event's id.

    Raises:
        ApiError: there is no such function, or the event cannot be taken.
    """
    with server.runtime.database.autocommit() as connection:
        function = functions.find(connection, slug)
    if function is None or function.archived_at is not None:
        raise ApiError(
            404, f"There is no function {slug!r}. GET /dev lists those that are registered.", code="not_found"
        )
    try:
        [event] = incoming.read([{**given, "name": "invoke"}])
    except EventInvalidError as error:
        raise ApiError(400, str(error), code=error.code) from error
    now = server.runtime.clock.now()
    row = event.to_row(ids.new(now), now)
    row.name = INVOKED
    row.data = json.dumps({**event.event.data, "_inngest": {"fn_id": function.id}})
    return Outbox(server.runtime).store([row])[0]


async def _read(request: Request) -> object:
    """Read a body: JSON, or a form, which is one event: its name, and lists of whatever else it has.

    Raises:
        ApiError: it is neither, or too large.
    """
    if int(request.headers.get("content-length") or 0) > _MAX_BODY:
        raise _too_large()
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY:
            raise _too_large()
    kind = request.headers.get("content-type", "")
    if kind.startswith(_FORMS) and body.lstrip()[:1] not in (b"{", b"["):
        request._body = body
        fields = await _form(request)
        return {"name": (fields.pop("name", None) or [""])[0], "data": fields}
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is no JSON: {error}", code="body_invalid") from None


async def _form(request: Request) -> dict[str, Any]:
    form = await request.form()
    return {key: [str(value) for value in form.getlist(key)] for key in form}


def _too_large() -> ApiError:
    return ApiError(
        413, f"the request has more than {_MAX_BODY} bytes; an event may have {MAX_EVENT_BYTES}: send them in parts"
    )
