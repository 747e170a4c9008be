"""``/keys``: what events are sent with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from inngest_celery.engine.durations import parse_duration
from inngest_celery.server.access import audit, event_keys
from inngest_celery.server.access.identity import Admin
from inngest_celery.server.rendering import page
from inngest_celery.server.state import server_of
from inngest_celery.store import event_keys as rows
from inngest_celery.worker import signing_keys

router = APIRouter(prefix="/keys")

Text = Annotated[str, Form(max_length=40)]


@router.get("")
def show(request: Request, person: Admin) -> Response:
    """Show all keys, but not what they are."""
    return _show(request)


@router.post("")
def create(
    request: Request,
    person: Admin,
    name: Annotated[str, Form(max_length=1024)] = "",
    scopes: Annotated[str, Form(max_length=65_536)] = "",
    lasts: Text = "",
) -> Response:
    """Make an event key, and show it this once."""
    given = scopes.split()
    try:
        lasts_ms = parse_duration(lasts) if lasts.strip() else None
        with audit.record(request, person, "key.create", name, {"scopes": given, "expires": lasts or None}) as entry:
            made = event_keys.create(server_of(request).runtime, name, given, created_by=person.name, lasts_ms=lasts_ms)
            entry.tell(key=made.row.id)
    except ValueError as error:
        return _show(request, problem=str(error), status=400)
    return _show(request, secret=made.secret, status=201)


@router.post("/{key_id}/rotate")
def rotate(request: Request, person: Admin, key_id: str, overlap: Text = "7d") -> Response:
    """Make a key in the place of another one, and show it this once. Both are good for a while."""
    try:
        overlap_ms = parse_duration(overlap)
        with audit.record(request, person, "key.rotate", key_id, {"overlap": overlap}) as entry:
            made = event_keys.rotate(server_of(request).runtime, key_id, created_by=person.name, overlap_ms=overlap_ms)
            entry.tell(key=made.row.id)
    except ValueError as error:
        return _show(request, problem=str(error), status=400)
    except event_keys.KeyNotFound as error:
        return _show(request, problem=str(error), status=404)
    return _show(request, secret=made.secret, status=201)


@router.post("/{key_id}/revoke")
def revoke(request: Request, person: Admin, key_id: str) -> Response:
    """Make a key good for nothing."""
    try:
        with audit.record(request, person, "key.revoke", key_id):
            event_keys.revoke(server_of(request).runtime, key_id)
    except event_keys.KeyNotFound as error:
        return _show(request, problem=str(error), status=404)
    return RedirectResponse("/keys", 303)


def _show(request: Request, *, secret: str = "", problem: str = "", status: int = 200) -> Response:
    server = server_of(request)
    runtime = server.runtime
    with runtime.database.autocommit() as connection:
        known = rows.all_of(connection)
    return page(
        request, "keys.html", status, keys=known, signing=signing_keys.known(runtime), now=runtime.clock.now(),
        configured=len(server.options.event_keys), secret=secret, problem=problem,
    )  # fmt: skip
