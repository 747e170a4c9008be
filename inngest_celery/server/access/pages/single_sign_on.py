"""``/login/oidc``: to the identity provider, and back."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from inngest_celery.server.access import audit, logins
from inngest_celery.server.access.admitting import admit
from inngest_celery.server.access.oidc import Provider
from inngest_celery.server.access.oidc_attempt import Attempt
from inngest_celery.server.access.pages.login import begin, form, local
from inngest_celery.server.access.roles import Person, Role
from inngest_celery.server.access.sessions import cookie_name, needs_secure
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import server_of
from inngest_celery.store.users import UserRow

router = APIRouter(prefix="/login/oidc")

_COOKIE, _CALLBACK = "inngest_oidc", "/login/oidc/callback"
_LASTS_S = 600


@router.get("")
def leave(request: Request, next: str = "/") -> Response:
    """Send the browser to the provider."""
    try:
        attempt = Attempt.new(local(next))
        answer = RedirectResponse(_provider(request).address(attempt, _redirect_uri(request)), 303)
    except ApiError as error:
        return form(request, next, str(error), error.status)
    secure = needs_secure(request)
    answer.set_cookie(
        cookie_name(_COOKIE, secure=secure), attempt.to_cookie(), max_age=_LASTS_S, path="/", httponly=True,
        samesite="lax", secure=secure,
    )  # fmt: skip
    return answer


@router.get("/callback")
def arrive(request: Request, code: str = "", state: str = "", error: str = "", iss: str | None = None) -> Response:
    """Log in whom the provider sends back."""
    cookie = cookie_name(_COOKIE, secure=needs_secure(request))
    attempt = Attempt.from_cookie(request.cookies.get(cookie))
    try:
        user = _user(request, attempt, code, state, error, iss)
    except ApiError as refusal:
        audit.record(request, Person("unknown", Role.NOBODY, "nobody"), "login", outcome=refusal.code)
        answer = form(request, attempt.next if attempt else "/", str(refusal), refusal.status)
    else:
        assert attempt is not None
        answer = begin(request, user, attempt.next)
    # It is good once.
    answer.delete_cookie(cookie, path="/", httponly=True, samesite="lax", secure=needs_secure(request))
    return answer


def _user(request: Request, attempt: Attempt | None, code: str, state: str, error: str, iss: str | None) -> UserRow:
    server = server_of(request)
    if attempt is None or not hmac.compare_digest(state.encode(), attempt.state.encode()):
        raise ApiError(401, "This attempt to log in was not begun here, or long ago. Begin again.", code="oidc_refused")
    if error or not code or (iss is not None and iss != server.settings.oidc_issuer):
        raise ApiError(401, f"The identity provider did not let you in ({error[:100]}).", code="oidc_refused")
    logins.count_address(request)
    now_s = server.runtime.clock.now() // 1000
    user = admit(server.runtime, _provider(request).redeem(code, attempt, _redirect_uri(request), now_s))
    logins.succeed_from(request)
    return user


def _provider(request: Request) -> Provider:
    """Give the provider, which is asked once what it is."""
    settings = server_of(request).settings
    if not settings.oidc_issuer or not settings.oidc_client_id:
        message = "No identity provider is set up: inngest_oidc_issuer and inngest_oidc_client_id name one."
        raise ApiError(404, message, code="not_found")
    known: Provider | None = getattr(request.app.state, "oidc", None)
    if known is None:
        logins.count_address(request)
        known = request.app.state.oidc = Provider.discover(settings)
    return known


def _redirect_uri(request: Request) -> str:
    base = server_of(request).settings.public_url or f"{request.url.scheme}://{request.url.netloc}"
    return base.rstrip("/") + _CALLBACK
