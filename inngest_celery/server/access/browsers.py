"""What no website may have a visitor's browser do: act here with the visitor's session, or on a development server."""

from __future__ import annotations

import re

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from inngest_celery.server.access.hosts import host_of, is_browser, is_foreign, is_own_name
from inngest_celery.server.errors import ApiError, formed
from inngest_celery.server.state import server_of

# Where pages of applications send events, listen, and wait for what a durable endpoint returns; and where apps dial in.
# All have secrets of their own, and no session counts there.
_FOR_ALL = re.compile(r"/(e/[^/]+|v0/connect/ws|v1/realtime/(sse|connect)|v1/(checkpoint|http/runs)/[^/]+/output)")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Browsers:
    """Refuses (403) what a page of another origin has a browser change.

    Browsers say what a request is made for (``Sec-Fetch-Site``, or else ``Origin``). A request with an
    ``Authorization`` header is not made on the quiet: a page of another origin could not send it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = CORSMiddleware(app, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if _FOR_ALL.fullmatch(scope["path"]):
            await self._open(scope, receive, send)
            return
        refusal = _refusal(HTTPConnection(scope))
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await formed(Request(scope), refusal)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.code})


def _refusal(request: HTTPConnection) -> ApiError | None:
    development = server_of(request).options.development
    if development and is_browser(request) and not is_own_name(request):
        return ApiError(
            403,
            f"This development server does not go by the name {host_of(request)[:100]!r}. If it is one of its own, "
            "start it with --allowed-host and that name.",
            code="host_refused",
        )
    acts = request.scope.get("method") not in _SAFE  # a WebSocket has no method, and does what it likes
    unasked = development or "authorization" not in request.headers
    if acts and unasked and is_foreign(request):
        return ApiError(
            403,
            "A page of another origin has asked for this. Do it from this server's own pages, or with an API token.",
            code="origin_refused",
        )
    return None
