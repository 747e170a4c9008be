"""``/mcp`` itself: who may use it, and from where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import Receive, Scope, Send

from inngest_celery.server.access import Guard, Role
from inngest_celery.server.mcp.protocol import protocol_of
from inngest_celery.server.state import Server

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# Where nobody is asked for a key, a page that is open in a browser on this machine must not get in by a name of its own
# that leads here (DNS rebinding), nor from its own origin.
_ON_LOOPBACK = TransportSecuritySettings(
    allowed_hosts=[each for name in _LOOPBACK for each in (name, f"{name}:*")],
    allowed_origins=[
        each
        for name in _LOOPBACK
        for scheme in ("http", "https")
        for each in (f"{scheme}://{name}", f"{scheme}://{name}:*")
    ],
)


class Endpoint:
    """The ASGI application of ``/mcp``.

    Args:
        server: where its tools act.
        app: the application that it is a part of.
    """

    def __init__(self, server: Server, app: FastAPI) -> None:
        at_home = server.options.development and not server.options.allowed_hosts
        self._sessions = StreamableHTTPSessionManager(
            protocol_of(server, app),
            json_response=True,
            stateless=True,
            security_settings=_ON_LOOPBACK if at_home else None,
        )
        self._guarded = Guard(self._sessions.handle_request, Role.VIEWER)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer requests meanwhile."""
        async with self._sessions.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guarded(scope, receive, send)
