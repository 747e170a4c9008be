"""A whole application behind a role: what is mounted has no routes of ours to say whom they are for."""

from __future__ import annotations

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from inngest_celery.server.access.identity import LogInFirst, require
from inngest_celery.server.access.roles import Role
from inngest_celery.server.errors import ApiError, formed


class Guard:
    """Lets in only people and programs with a role, or a higher one. Within, ``person_of(request)`` says who it is.

    Args:
        app: what is guarded; it must be mounted in a server's application.
        role: for whom it is.

    Example: ``app.mount("/mcp", Guard(mcp_app, Role.VIEWER))``
    """

    def __init__(self, app: ASGIApp, role: Role) -> None:
        self._app = app
        self._role = role

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # There is no answer to refuse a WebSocket with that a client would understand, and none is served so.
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive)
        try:
            await run_in_threadpool(require(self._role), request)
        except LogInFirst as error:
            await error.to_page()(scope, receive, send)
        except ApiError as error:
            await formed(request, error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
