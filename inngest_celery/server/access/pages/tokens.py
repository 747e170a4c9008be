"""``/tokens``: what programs may do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from inngest_celery.engine.durations import parse_duration
from inngest_celery.server.access import api_tokens, audit
from inngest_celery.server.access.identity import Admin
from inngest_celery.server.access.roles import SCOPES
from inngest_celery.server.rendering import page
from inngest_celery.server.state import server_of
from inngest_celery.store import api_tokens as rows

router = APIRouter(prefix="/tokens")


@router.get("")
def show(request: Request, person: Admin) -> Response:
    """Show all tokens, but not what they are."""
    return _show(request)


@router.post("")
def create(
    request: Request,
    person: Admin,
    name: Annotated[str, Form(max_length=1024)] = "",
    scopes: Annotated[list[str] | None, Form()] = None,
    lasts: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Make a token, and show it this once."""
    runtime = server_of(request).runtime
    try:
        lasts_ms = parse_duration(lasts) if lasts.strip() else None
        with audit.record(request, person, "token.create", name, {"scopes": scopes or []}) as entry:
            made = api_tokens.create(runtime, name, scopes or [], created_by=person.name, lasts_ms=lasts_ms)
            entry.tell(token=made.row.id)
    except ValueError as error:
        return _show(request, problem=str(error), status=400)
    return _show(request, secret=made.secret, status=201)


@router.post("/{token_id}/revoke")
def revoke(request: Request, person: Admin, token_id: str) -> Response:
    """Make a token good for nothing."""
    try:
        with audit.record(request, person, "token.revoke", token_id):
            api_tokens.revoke(server_of(request).runtime, token_id)
    except api_tokens.TokenNotFound as error:
        return _show(request, problem=str(error), status=404)
    return RedirectResponse("/tokens", 303)


def _show(request: Request, *, secret: str = "", problem: str = "", status: int = 200) -> Response:
    runtime = server_of(request).runtime
    with runtime.database.autocommit() as connection:
        known = rows.all_of(connection)
    return page(
        request, "tokens.html", status, tokens=known, now=runtime.clock.now(), scopes=list(SCOPES), secret=secret,
        problem=problem,
    )  # fmt: skip
