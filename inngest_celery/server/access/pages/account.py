"""``/account``: who one is, one's password and sessions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from inngest_celery.server.access import accounts, audit, logins, passwords
from inngest_celery.server.access.identity import Viewer
from inngest_celery.server.access.roles import Person
from inngest_celery.server.errors import ApiError
from inngest_celery.server.rendering import page
from inngest_celery.server.state import server_of
from inngest_celery.store import sessions, users

router = APIRouter(prefix="/account")


@router.get("")
def show(request: Request, person: Viewer) -> Response:
    """Show who one is, and where one is logged in."""
    return _show(request, person)


@router.post("/password")
def change_password(
    request: Request,
    person: Viewer,
    current: Annotated[str, Form(max_length=4096)] = "",
    new: Annotated[str, Form(max_length=4096)] = "",
    again: Annotated[str, Form(max_length=4096)] = "",
) -> Response:
    """Take another password, and end all other sessions."""
    _require_session(person)
    try:
        user = logins.check(request, person.name, current, action="user.password")
    except logins.TooManyAttempts as error:
        return _show(request, person, str(error), 429)
    if user is None:
        return _show(request, person, "The current password is another one.", 400)
    if new != again:
        return _show(request, person, "The new password is not the same both times.", 400)
    try:
        with audit.record(request, person, "user.password", person.name):
            accounts.set_password(server_of(request).runtime, person.name, new, keep_session=person.session_id)
    except passwords.PasswordRefused as error:
        return _show(request, person, str(error), 400)
    return RedirectResponse("/account", 303)


@router.post("/sessions/{session_id}/end")
def end_session(request: Request, person: Viewer, session_id: str) -> Response:
    """End one of one's sessions."""
    _require_session(person)
    with (
        audit.record(request, person, "session.end", session_id),
        server_of(request).runtime.database.transaction() as connection,
    ):
        if not sessions.end_one(connection, person.name, session_id):
            raise ApiError(404, f"You have no session {session_id[:100]}.", code="not_found")
    return RedirectResponse("/account", 303)


def _require_session(person: Person) -> None:
    if person.session_id is None:
        raise ApiError(409, f"{person.name} has not logged in, and has no password here.", code="session_missing")


def _show(request: Request, person: Person, problem: str = "", status: int = 200) -> Response:
    runtime = server_of(request).runtime
    mine = []
    user = None
    if person.session_id is not None:
        with runtime.database.autocommit() as connection:
            mine = sessions.of_user(connection, person.name, runtime.clock.now())
            user = users.get(connection, person.name)
    has_password = user is not None and user.password is not None
    return page(request, "account.html", status, sessions=mine, has_password=has_password, problem=problem)
