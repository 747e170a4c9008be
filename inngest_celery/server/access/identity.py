"""Who makes a request, and whether that is enough for what it asks."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.requests import HTTPConnection

from inngest_celery.server.access import api_tokens, sessions
from inngest_celery.server.access.hosts import is_at_home
from inngest_celery.server.access.roles import Person, Role
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import server_of
from inngest_celery.worker.signing_keys import EXPIRED

# Apps hold the signing key: enough to look after runs, but not to let others in.
SIGNING_KEY = Person("signing key", Role.OPERATOR, "signing_key")
DEVELOPER = Person("developer", Role.ADMIN, "development")


class _Unknown(enum.Enum):
    YET = enum.auto()


def caller_of(request: HTTPConnection) -> Person:
    """Tell who makes a request that has shown the signing key, or need not show one to a development server."""
    return SIGNING_KEY if server_of(request).settings.signing_keys else DEVELOPER


class LogInFirst(ApiError):
    """Nobody is logged in, and somebody wants to see a page."""

    def __init__(self, page: str) -> None:
        super().__init__(401, "Log in first.", code="authentication_failed")
        self.page = page

    def to_page(self) -> Response:
        return RedirectResponse(f"/login?next={quote(self.page, safe='')}", 303)


def bearer_in(request: HTTPConnection) -> str | None:
    """Give the token in a request's ``Authorization`` header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def person_of(request: HTTPConnection) -> Person | None:
    """Tell who makes a request; ``None`` if it does not say, or cannot prove it. It asks the database, once a request.

    A request with an ``Authorization`` header is what that says, and nothing else.

    Example: ``person = person_of(request)``
    """
    known: Person | _Unknown | None = getattr(request.state, "person", _Unknown.YET)
    if known is _Unknown.YET:
        known = request.state.person = _find(request)
    return known


def _find(request: HTTPConnection) -> Person | None:
    server = server_of(request)
    bearer = bearer_in(request)
    if bearer is not None:
        found = api_tokens.holder_of(server.runtime, bearer)
        keys = server.runtime.signing_keys
        if found is None and keys.holder(bearer, _asks_for(request)):
            found = SIGNING_KEY
        elif found is None and keys.has_ended(bearer):
            request.state.key_has_ended = True
    else:
        found = sessions.person_of(request)
    if found is None and server.options.development and is_at_home(request):
        # SDKs that have a key show it to a development server, too, which has none.
        return DEVELOPER
    return found


def _asks_for(request: HTTPConnection) -> str:
    """Tell who shows a signing key: of a program nothing is known but what it asks for."""
    return f"a request to /{request.url.path.split('/')[1][:20]}"


@lru_cache
def require(role: Role) -> Callable[[Request], Person]:
    """Give the dependency of a route that is for people and programs with a role, or a higher one.

    Raises:
        LogInFirst: nobody is logged in, and a page is asked for: a redirect to ``/login``.
        ApiError: 401 ``authentication_failed``, or 403 ``role_missing``.

    Example: ``router = APIRouter(dependencies=[Depends(require(Role.VIEWER))])``
    """

    def required(request: Request) -> Person:
        person = person_of(request)
        if person is None:
            raise _unknown(request)
        if person.role < role:
            raise too_low(person, role)
        return person

    return required


def too_low(person: Person, role: Role) -> ApiError:
    """Give the refusal of somebody whose role is not enough."""
    return ApiError(
        403,
        f"{person.name} is {person.role.label}, and this is for {role.label}s. Ask an admin for the role, or for a "
        "token with that scope.",
        code="role_missing",
    )


def wants_page(request: HTTPConnection) -> bool:
    """Tell whether a request is somebody's in a browser who wants to see a page."""
    return request.scope.get("method") in ("GET", "HEAD") and "text/html" in request.headers.get("accept", "")


def _unknown(request: Request) -> ApiError:
    if wants_page(request) and bearer_in(request) is None:
        query = f"?{request.url.query}" if request.url.query else ""
        return LogInFirst(request.url.path + query)
    advice = (
        "A development server is open to this machine only, and by a loopback name. Log in, send an API token, or "
        "start it with --allowed-host and the name that it goes by."
        if server_of(request).options.development
        else "Log in, or send Authorization: Bearer with an API token (inngest-celery tokens create) or with the "
        "hashed signing key of this server (INNGEST_SIGNING_KEY in the app and in the server)."
    )
    if getattr(request.state, "key_has_ended", False):
        return ApiError(401, server_of(request).runtime.signing_keys.ending, code=EXPIRED)
    return ApiError(401, f"Authentication failed. {advice}", code="authentication_failed")


Viewer = Annotated[Person, Depends(require(Role.VIEWER))]
Operator = Annotated[Person, Depends(require(Role.OPERATOR))]
Admin = Annotated[Person, Depends(require(Role.ADMIN))]
