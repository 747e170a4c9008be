"""``/mcp`` itself: who may use it, and from where. What it takes is loaded when the first request comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from inngest_celery.server.access import Guard, Role
from inngest_celery.server.state import Server

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


class Endpoint:
    """The ASGI application of ``/mcp``.

    Args:
        server: where its tools act.
        app: the application that it is a part of.
    """

    def __init__(self, server: Server, app: FastAPI) -> None:
        self._server, self._app = server, app
        self._guarded = Guard(self._answer, Role.VIEWER)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer requests meanwhile."""
        self._wanted = asyncio.Event()
        self._sessions: asyncio.Future[StreamableHTTPSessionManager] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError, ImportError):
                await self._keeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guarded(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._wanted.set()
        either: set[asyncio.Future[Any]] = {self._sessions, self._keeper}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._sessions.done():
            # It could not be loaded, and says why.
            self._keeper.result()
        await self._sessions.result().handle_request(scope, receive, send)

    async def _keep(self) -> None:
        """Let the sessions run in one task from the first request to the end, as they demand."""
        await self._wanted.wait()
        sessions = await run_in_threadpool(self._load)
        async with sessions.run():
            self._sessions.set_result(sessions)
            await asyncio.Event().wait()

    def _load(self) -> StreamableHTTPSessionManager:
        # The packages that this imports take a server as long to load as all the others.
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        from inngest_celery.server.mcp.protocol import protocol_of

        return StreamableHTTPSessionManager(
            protocol_of(self._server, self._app),
            json_response=True,
            stateless=True,
            # Who may come from where has been asked by then.
            security_settings=None,
        )
