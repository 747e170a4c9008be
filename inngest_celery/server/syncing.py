"""Synchronising: apps register by themselves, or are asked to at their address."""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from inngest_celery.drivers.http import transport
from inngest_celery.drivers.http.signing import canonical, sign
from inngest_celery.server import bodies, registration
from inngest_celery.server.access import audit, require_signing_key
from inngest_celery.server.access.identity import caller_of
from inngest_celery.server.access.keys import note_app
from inngest_celery.server.addresses import normalised
from inngest_celery.server.documents import body_of
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import Server, Serving
from inngest_celery.store import apps
from inngest_celery.worker import auditing
from inngest_celery.worker.signing_keys import EXPIRED

router = APIRouter(dependencies=[Depends(require_signing_key)])
logger = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_KIND, _EXPECTED = "X-Inngest-Server-Kind", "x-inngest-expected-server-kind"
_SYNC_KIND, _IN_BAND = "x-inngest-sync-kind", ("in_band", "in-band")
_MAX_BODY = 16 * 1024 * 1024


@router.post("/fn/register", openapi_extra=body_of(registration.Registration))
async def register(request: Request, server: Serving) -> JSONResponse:
    """Register an app with its functions, or leave everything as it is if nothing has changed."""
    expected = request.headers.get(_EXPECTED)
    if expected and expected != server.kind:
        raise ApiError(
            400,
            f"The app expects a server of kind {expected!r}, and this one is {server.kind!r}. Set or unset INNGEST_DEV "
            "in the app.",
            code="server_kind_mismatch",
        )
    read = registration.read(bodies.json_of(await bodies.read(request, _MAX_BODY)))
    if not read.url and read.deploy_type != apps.CONNECT:
        raise ApiError(400, "url: the app does not say where it is served", code="config_invalid")
    return _answer(await run_in_threadpool(_register, request, server, read))


def _register(request: Request, server: Server, read: registration.Registration) -> registration.Registered:
    """Register an app, which most are that start; what changes nothing does not belong into the log."""
    note_app(request, read.app)
    done = registration.register(server, read)
    if done.modified:
        audit.record(request, caller_of(request), "app.register", read.app, outcome=auditing.DONE)
    return done


@router.delete("/fn/remove")
def remove(request: Request, server: Serving, url: str) -> JSONResponse:
    """Archive the app that is served at an address. Runs that it has go on."""
    with server.runtime.database.autocommit() as connection:
        app = apps.at(connection, normalised(url))
    if app is not None:
        with audit.record(request, caller_of(request), "app.delete", app.id):
            if not registration.remove(server, app.id):
                app = None
    if app is None:
        raise ApiError(404, f"no app is registered at {url}", code="not_found")
    return JSONResponse({"ok": True})


def sync(server: Server, url: str, *, discovered: bool = False) -> registration.Registered | None:
    """Ask an app to register: in its answer where it can, else by a request of its own.

    Args:
        server: where.
        url: where the app is served.
        discovered: whether that was found out, and not given.

    Returns:
        What was registered, if the app's answer had it in it.

    Raises:
        ApiError: the app cannot be reached, or has refused.
    """
    url = normalised(url)
    response = ping(server, url)
    if response.headers.get(_SYNC_KIND, "").lower() not in _IN_BAND:
        return None
    signature, body = response.headers.get("x-inngest-signature", ""), response.body.rstrip(b"\n")
    keys = server.runtime.signing_keys
    key = keys.signer(body, signature, f"the app at {url}")
    if server.settings.signing_keys and key is None:
        if keys.was_signed(body, signature):
            raise ApiError(401, keys.ending, code=EXPIRED)
        raise ApiError(401, f"the answer of {url} is not signed with this server's key", code="invalid_signing_key")
    given: dict[str, Any] = json.loads(response.body)
    language, version = given.get("sdk_language", ""), given.get("sdk_version", "")
    said = registration.read({**given, "sdk": f"{language}:v{str(version).removeprefix('v')}"})
    if key is not None:
        keys.note(key, f"app {said.app}")
    return registration.register(server, said.model_copy(update={"url": said.url or url}), discovered=discovered)


def ping(server: Server, url: str) -> transport.Response:
    """Send an app the request that has it register.

    Raises:
        ApiError: it cannot be reached, or has refused; ``code`` says which.
    """
    keys = server.settings.signing_keys
    body = canonical({"url": url})
    headers = {"Content-Type": "application/json", _KIND: server.kind, "User-Agent": "Inngest"}
    if keys:
        headers |= {
            "X-Inngest-Signature": sign(keys[0], body, server.runtime.clock.now() // 1000),
            _SYNC_KIND: _IN_BAND[0],
        }
    private = server.settings.calls_private
    try:
        response = transport.send("PUT", url, body, headers, private=private, timeout_s=_TIMEOUT_S)
    except transport.NoResponse as error:
        code = {"http_unreachable": "unreachable"}.get(error.failure.code, error.failure.code)
        raise ApiError(400, str(error), code=code) from error
    _refuse_failure(url, response)
    return response


_FAILURES = {
    401: ("unauthorized", "refuses this server: is it the same signing key?"),
    403: ("forbidden", "refuses this server"),
    404: ("url_not_found", "has no app there: is the path right?"),
}


def _refuse_failure(url: str, response: transport.Response) -> None:
    if 200 <= response.status < 300:
        if "x-inngest-sdk" not in response.headers:
            raise ApiError(400, f"{url} answers, but not with an Inngest SDK", code="not_sdk")
        return
    code, why = _FAILURES.get(response.status, ("internal_server_error", "failed to synchronise"))
    try:
        told = json.loads(response.body)
    except ValueError:
        told = None
    said = f" It says: {told['message']}" if isinstance(told, dict) and told.get("message") else ""
    code = str(told["code"]) if isinstance(told, dict) and told.get("code") else code
    raise ApiError(400, f"{url} {why} (status {response.status}).{said}", code=code)


def _answer(done: registration.Registered) -> JSONResponse:
    return JSONResponse(
        {"ok": True, "modified": done.modified, "sync_id": done.sync_id, "app_id": done.app_id, "message": "ok"}
    )
