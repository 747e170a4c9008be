"""ASGI applications served over real HTTP by a thread of the test's process."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.waiting import wait_until


class _Server(uvicorn.Server):
    """Ends when it is told to, and not a tick or two later: tests start hundreds."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = threading.Event()
        self._end: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._end, self._loop = asyncio.Event(), asyncio.get_running_loop()
        # Without ticks nobody would set the headers that say when it is.
        await self.on_tick(0)
        if not self._told.is_set():
            await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self.lifespan.shutdown()

    def end(self) -> None:
        self._told.set()
        if self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)


@contextmanager
def served(app: Any, port: int = 0, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve an application meanwhile, over TLS if that is given; gives its address."""
    # Said to be TCP, so that asyncio sends small answers at once.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(128)
    config = uvicorn.Config(app, log_level="warning")
    config.load()
    config.ssl = tls
    server = _Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), 60, "the HTTP server", every=0.002)
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.end()
        thread.join(60)
        listening.close()
