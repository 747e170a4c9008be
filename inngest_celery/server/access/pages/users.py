"""``/users``: who may log in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from inngest_celery.server.access import accounts, audit
from inngest_celery.server.access.identity import Admin
from inngest_celery.server.access.passwords import PasswordRefused
from inngest_celery.server.access.roles import ROLES, Person, Role
from inngest_celery.server.errors import ApiError
from inngest_celery.server.rendering import page
from inngest_celery.server.state import server_of
from inngest_celery.store import users
from inngest_celery.worker.runtime import Runtime

router = APIRouter(prefix="/users")

_STATUS = {accounts.UserNotFound: 404, accounts.LastAdmin: 409}


@router.get("")
def show(request: Request, person: Admin) -> Response:
    """Show all users."""
    return _show(request)


@router.post("")
def add(
    request: Request,
    person: Admin,
    name: Annotated[str, Form(max_length=1024)] = "",
    role: Annotated[str, Form()] = "viewer",
    password: Annotated[str, Form(max_length=4096)] = "",
) -> Response:
    """Add a user."""
    given = _role(role)
    details = {"role": given.label}
    return _done(
        request, person, "user.add", name, lambda runtime: accounts.add(runtime, name, given, password), details
    )


@router.post("/{name}/role")
def set_role(request: Request, person: Admin, name: str, role: Annotated[str, Form()]) -> Response:
    """Give a user another role."""
    given = _role(role)
    details = {"role": given.label}
    return _done(request, person, "user.role", name, lambda runtime: accounts.set_role(runtime, name, given), details)


@router.post("/{name}/password")
def set_password(
    request: Request, person: Admin, name: str, password: Annotated[str, Form(max_length=4096)] = ""
) -> Response:
    """Give a user another password."""
    return _done(request, person, "user.password", name, lambda runtime: accounts.set_password(runtime, name, password))


@router.post("/{name}/disable")
def disable(request: Request, person: Admin, name: str) -> Response:
    """Shut a user out."""
    return _done(request, person, "user.disable", name, lambda runtime: accounts.disable(runtime, name))


@router.post("/{name}/enable")
def enable(request: Request, person: Admin, name: str) -> Response:
    """Let a user in again."""
    return _done(request, person, "user.enable", name, lambda runtime: accounts.enable(runtime, name))


def _done(
    request: Request,
    person: Person,
    action: str,
    name: str,
    do: Callable[[Runtime], object],
    details: Mapping[str, object] | None = None,
) -> Response:
    """Do something to a user, and show all; or what is wrong with it."""
    try:
        with audit.record(request, person, action, name.strip().lower(), details):
            do(server_of(request).runtime)
    except (accounts.UserNameRefused, accounts.UserNotFound, accounts.LastAdmin, PasswordRefused) as error:
        return _show(request, str(error), _STATUS.get(type(error), 400))
    return RedirectResponse("/users", 303)


def _role(name: str) -> Role:
    found = next((role for role in ROLES if role.label == name), None)
    if found is None:
        raise ApiError(400, f"There is no role {name[:40]!r}: viewer, operator or admin.", code="role_invalid")
    return found


def _show(request: Request, problem: str = "", status: int = 200) -> Response:
    with server_of(request).runtime.database.autocommit() as connection:
        known = users.all_of(connection)
    return page(request, "users.html", status, users=known, roles=[role.label for role in ROLES], problem=problem)
