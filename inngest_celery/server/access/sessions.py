"""Sessions: a cookie with a random value says who is logged in. It ends when it is unused, and in any case at last."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import Response

from inngest_celery import ids
from inngest_celery.server.access.hosts import host_of, is_loopback
from inngest_celery.server.access.roles import Person, Role
from inngest_celery.server.access.secrets import hash_of, new_secret
from inngest_celery.server.state import server_of
from inngest_celery.store import sessions as rows
from inngest_celery.store.conflicts import retried
from inngest_celery.store.sessions import SessionRow
from inngest_celery.worker.runtime import Runtime

_COOKIE = "inngest_session"
# Not every request is to be a write.
_SEEN_MS = 60_000
_MOST_AGENT, _MOST_ADDRESS = 255, 64


def begin(request: HTTPConnection, response: Response, user_name: str) -> str:
    """Log a user in: a new session, whatever the browser had before, which is ended; gives the session's id."""
    server, value = server_of(request), new_secret()
    now = server.runtime.clock.now()
    settings = server.settings
    row = SessionRow(
        id=ids.new(now),
        hash=hash_of(value),
        user_name=user_name,
        created_at=now,
        seen_at=now,
        expires_at=now + settings.session_idle_ms,
        ends_at=now + settings.session_life_ms,
        address=request.client.host[:_MOST_ADDRESS] if request.client else "",
        agent=request.headers.get("user-agent", "")[:_MOST_AGENT],
    )
    _replace(server.runtime, value_in(request), row)
    secure = needs_secure(request)
    response.set_cookie(
        cookie_name(_COOKIE, secure=secure), value, path="/", httponly=True, samesite="lax", secure=secure,
        max_age=settings.session_life_ms // 1000,
    )  # fmt: skip
    return row.id


@retried
def _replace(runtime: Runtime, before: str | None, row: SessionRow) -> None:
    with runtime.database.transaction() as connection:
        if before is not None:
            rows.end(connection, hash_of(before))
        rows.forget_expired(connection, row.created_at)
        rows.add(connection, row)


def end(request: HTTPConnection, response: Response) -> None:
    """Log out: the cookie's value is good for nothing from now on."""
    value = value_in(request)
    if value is not None:
        _end(server_of(request).runtime, value)
    secure = needs_secure(request)
    response.delete_cookie(cookie_name(_COOKIE, secure=secure), path="/", httponly=True, samesite="lax", secure=secure)


@retried
def _end(runtime: Runtime, value: str) -> None:
    with runtime.database.transaction() as connection:
        rows.end(connection, hash_of(value))


def person_of(request: HTTPConnection) -> Person | None:
    """Tell who is logged in."""
    value = value_in(request)
    if value is None:
        return None
    server = server_of(request)
    now = server.runtime.clock.now()
    with server.runtime.database.autocommit() as connection:
        found = rows.find(connection, hash_of(value), now)
        if found is None:
            return None
        session, user = found
        if session.seen_at <= now - _SEEN_MS:
            rows.touch(connection, session.id, now, now + server.settings.session_idle_ms)
    return Person(user.name, Role[user.role.upper()], "session", session.id)


def value_in(request: HTTPConnection) -> str | None:
    """Give the cookie's value, if there is one."""
    return request.cookies.get(cookie_name(_COOKIE, secure=needs_secure(request)))


def needs_secure(request: HTTPConnection) -> bool:
    """Tell whether cookies are for encrypted connections only: always, but on this machine."""
    encrypted = request.url.scheme in ("https", "wss")
    return encrypted or not is_loopback(host_of(request))


def cookie_name(name: str, *, secure: bool) -> str:
    """Give a cookie's name: no other host can set one that begins with ``__Host-``."""
    return f"__Host-{name}" if secure else name
