"""The event API: ``POST /e/{key}``, and ``POST /invoke/{slug}`` that calls one function."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from inngest_celery import ids, trace_context
from inngest_celery.engine import skipping
from inngest_celery.engine.keys import event_key
from inngest_celery.engine.lifecycle import INVOKED
from inngest_celery.engine.spec import read_spec
from inngest_celery.sdk.errors import EventInvalidError
from inngest_celery.sdk.sending import MAX_EVENT_BYTES
from inngest_celery.server import bodies, incoming
from inngest_celery.server.access import Operator, Person, audit, person_of, require_event_key
from inngest_celery.server.documents import body_of
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import Server, Serving, server_of
from inngest_celery.store import events, functions, rows, runs
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.sent_by import SentBy
from inngest_celery.trace_context import Trace
from inngest_celery.worker.at_once import store_and_route
from inngest_celery.worker.outbox import Outbox

router = APIRouter()

_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_EVENT = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "data": {"type": "object"},
        "user": {"type": "object"},
        "id": {"type": "string"},
        "ts": {"type": "integer"},
        "v": {"type": "string"},
    },
}
_SEED = "x-inngest-event-id-seed"


@router.get("/health")
def health() -> dict[str, object]:
    """Tell that the server answers."""
    return {"status": 200, "message": "OK"}


@router.post("/e/{key}", openapi_extra=body_of({"anyOf": [_EVENT, {"type": "array", "items": _EVENT}]}))
async def send(request: Request, server: Serving, key: str) -> JSONResponse:
    """Store one event, or a list of them, and have them routed: all of them, or none."""
    sender = await require_event_key(request, key)
    given = await _read(request)
    listed = given if isinstance(given, list) else [given]
    names = names_of(listed)
    sender.require_scope(names)
    seed = request.headers.get(_SEED, "")
    try:
        sent = await run_in_threadpool(store, server, listed, seed, trace_context.read(request.headers), sender.told)
    except EventInvalidError as error:
        return JSONResponse({"ids": [], "status": 400, "error": str(error), "code": error.code}, 400)
    request.app.state.sends.count(sender, names)
    return JSONResponse({"ids": sent, "status": 200})


@router.post("/invoke/{slug}", openapi_extra=body_of({"type": "object"}))
async def invoke(request: Request, server: Serving, person: Operator, slug: str) -> JSONResponse:
    """Call one function, whatever triggers it; answers with the id of the event that is the call."""
    given = await _read(request)
    if not isinstance(given, dict):
        raise ApiError(400, 'the body is no JSON object: send the event\'s data as {"data": {…}}')
    event_id = await run_in_threadpool(_invoke, request, person, slug, given)
    return JSONResponse({"id": event_id, "status": 200})


def _invoke(request: Request, person: Person, slug: str, given: dict[str, Any]) -> str:
    with audit.record(request, person, "function.invoke", slug) as entry:
        event_id = call(server_of(request), slug, given, trace_context.read(request.headers))
        entry.tell(event_id=event_id)
    return event_id


def names_of(given: Sequence[object]) -> list[str]:
    """Give the names of events as they came; those that have none are refused where they are checked."""
    named = [each["name"] for each in given if isinstance(each, dict) and isinstance(each.get("name"), str)]
    return [str(name) for name in named]


def store(
    server: Server,
    given: Sequence[object],
    seed: str = "",
    trace: Trace | None = None,
    by: SentBy | None = None,
) -> list[str]:
    """Check events, store them and have them routed.

    Args:
        server: where.
        given: as they came.
        seed: what their ids are made of, where a repeated request is to be the same one.
        trace: where their sender was.
        by: who that is, if it is known.

    Returns:
        The id of each.

    Raises:
        EventInvalidError: one cannot be taken; none was.
    """
    read = incoming.read(given)
    now = server.runtime.clock.now()
    chosen = [ids.from_seed(seed, index) or ids.new(now) for index in range(len(read))]
    made = [event.to_row(each, now, trace, by) for event, each in zip(read, chosen, strict=True)]
    return Outbox(server.runtime).store(made, may_repeat=bool(seed))


def asking(server: Server) -> SentBy | None:
    """Tell who makes the request that a server was given for. A development server asks nobody who they are."""
    person = None if server.request is None else person_of(server.request)
    if person is None or person.kind == "development":
        return None
    return SentBy(kind=person.kind, name=person.name, id=person.token_id or "")


def call(server: Server, slug: str, given: dict[str, Any], trace: Trace | None = None) -> str:
    """Store the call of a function; give its event's id.

    Args:
        trace: where the caller was.

    Raises:
        ApiError: there is no such function, or the event cannot be taken.
    """
    with server.runtime.database.autocommit() as connection:
        function = functions.find(connection, slug)
    if function is None or function.archived_at is not None:
        raise ApiError(
            404, f"There is no function {slug!r}. GET /dev lists those that are registered.", code="not_found"
        )
    row = _call(function, given, server.runtime.clock.now(), trace)
    return Outbox(server.runtime).store([row])[0]


def call_for_run(
    server: Server, function: FunctionRow, data: dict[str, Any], key: str | None, trace: Trace | None = None
) -> str:
    """Store the call of a function; give the id of its run.

    Args:
        data: what the function gets as its event's data.
        key: the same one again, within a day, is the same call.
        trace: where the caller was.

    Raises:
        ApiError: the event cannot be taken (400), the key was used for other data (409), or the function does not take
            the call now (422).
    """
    now = server.runtime.clock.now()
    run_id = ids.new(now)
    row = _call(function, {"data": data}, now, trace, run_id)
    if key is not None:
        row.external_id = f"call:{function.id}:{key}"
        # What was stored before was masked, and is compared with it.
        server.runtime.door.event(row)
        data = json.loads(row.data)
        del data["_inngest"]
        with server.runtime.database.autocommit() as connection:
            before = runs.of_key(connection, event_key(function.id, row), now)
            said = events.get(connection, before.event_id) if before else None
        if before is not None and said is not None:
            given = json.loads(said.data)
            given.pop("_inngest", None)
            if given != data:
                message = f"The key {key!r} was used for a call with other data, run {before.id}; take another key."
                raise ApiError(409, message, code="idempotency_conflict")
            return before.id
    if not store_and_route(server.runtime, row):
        return run_id
    return _started(server, function, row, run_id, now)


def _started(server: Server, function: FunctionRow, row: rows.Event, run_id: str, now: int) -> str:
    """Give the run that a call has started, or say why it has started none."""
    with server.runtime.database.autocommit() as connection:
        run, key = runs.get(connection, run_id), event_key(function.id, row)
        first = runs.of_key(connection, key, now) if run is None and key is not None else None
    if first is not None:
        # The same call came twice at the same time.
        return first.id
    if run is not None and run.status != rows.RunStatus.SKIPPED:
        return run_id
    if run is None and read_spec(function.config).debounce is not None:
        message = "The call was put off: the function is debounced, and runs once no more calls come."
        raise ApiError(422, message, code="function_debounced")
    reason = run.reason if run is not None else "the same call was made before"
    if reason == skipping.RATE_LIMITED.reason:
        raise ApiError(422, "The function is rate limited; try again later.", code="rate_limited")
    raise ApiError(422, f"The function does not run for this call: {reason}.", code="function_skipped")


def _call(
    function: FunctionRow, given: dict[str, Any], now: int, trace: Trace | None, run_id: str | None = None
) -> rows.Event:
    """Make the event that is a call."""
    try:
        [event] = incoming.read([{**given, "name": "invoke"}])
    except EventInvalidError as error:
        raise ApiError(400, str(error), code=error.code) from error
    row = event.to_row(ids.new(now), now, trace)
    row.name = INVOKED
    called = {"fn_id": function.id, **({"run_id": run_id} if run_id else {})}
    row.data = json.dumps({**event.event.data, "_inngest": called})
    return row


async def _read(request: Request) -> object:
    """Read a body: JSON, or a form, which is one event: its name, and lists of whatever else it has.

    Raises:
        ApiError: it is neither, or too large.
    """
    body = await bodies.read(request, advice=f"an event may have {MAX_EVENT_BYTES}; send them in parts")
    kind = request.headers.get("content-type", "")
    if kind.startswith(_FORMS) and body.lstrip()[:1] not in (b"{", b"["):
        request._body = body
        fields = await _form(request)
        return {"name": (fields.pop("name", None) or [""])[0], "data": fields}
    return bodies.json_of(body)


async def _form(request: Request) -> dict[str, Any]:
    form = await request.form()
    return {key: [str(value) for value in form.getlist(key)] for key in form}
