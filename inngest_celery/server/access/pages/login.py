"""``/login`` and ``/logout``."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from inngest_celery.server.access import audit, logins, sessions
from inngest_celery.server.access.hosts import host_of, is_loopback
from inngest_celery.server.access.identity import person_of
from inngest_celery.server.rendering import page
from inngest_celery.server.state import server_of
from inngest_celery.store import users
from inngest_celery.store.users import UserRow

router = APIRouter()

_HOME = "/"


@router.get("/login")
def show(request: Request, next: str = _HOME) -> Response:
    """Ask for a name and a password."""
    if person_of(request) is not None:
        return RedirectResponse(local(next), 303)
    return form(request, next)


@router.post("/login")
def log_in(
    request: Request,
    name: Annotated[str, Form(max_length=1024)] = "",
    password: Annotated[str, Form(max_length=4096)] = "",
    next: Annotated[str, Form()] = _HOME,
) -> Response:
    """Begin a session, if they are right."""
    try:
        user = logins.check(request, name, password)
    except logins.TooManyAttempts as error:
        answer = form(request, next, str(error), 429, name=name)
        answer.headers["Retry-After"] = str(error.wait_s)
        return answer
    if user is None:
        return form(request, next, "This is not the name and password of anybody who may log in.", 401, name=name)
    return begin(request, user, next)


@router.get("/logout")
def ask_to_log_out(request: Request) -> Response:
    """Ask whether to: a link, or a picture on some page, must not."""
    return page(request, "logout.html")


@router.post("/logout")
def log_out(request: Request) -> Response:
    """End the session."""
    answer = RedirectResponse("/login", 303)
    person = person_of(request)
    if person is None or person.session_id is None:
        sessions.end(request, answer)
    else:
        with audit.record(request, person, "logout"):
            sessions.end(request, answer)
    return answer


def begin(request: Request, user: UserRow, next: str) -> Response:
    """Begin a session and show the page that was wanted."""
    answer = RedirectResponse(local(next), 303)
    with audit.record(request, logins.person_for(user), "login"):
        sessions.begin(request, answer, user.name)
    return answer


def form(request: Request, next: str, problem: str = "", status: int = 200, *, name: str = "") -> Response:
    """Give the page with the form; ``name`` was typed before."""
    server = server_of(request)
    with server.runtime.database.autocommit() as connection:
        anybody = users.any_at_all(connection)
    issuer = server.settings.oidc_issuer
    return page(
        request, "login.html", status, next=local(next), name=name, problem=problem, anybody=anybody,
        provider=urlsplit(issuer).hostname if issuer else None,
        development=server.options.development,
        insecure=request.url.scheme == "http" and not is_loopback(host_of(request)),
    )  # fmt: skip


def local(page: str) -> str:
    """Give a page of this server, whatever was asked for: nobody is sent elsewhere from here.

    Example:
        >>> local("/runs?status=failed"), local("//evil.example"), local("https://evil.example")
        ('/runs?status=failed', '/', '/')
    """
    # Browsers take a backslash for a slash, and drop control characters.
    strange = not page.startswith("/") or page[1:2] in ("/", "\\") or not page.isprintable() or "\\" in page
    return _HOME if strange or page.startswith(("/login", "/logout")) else page
