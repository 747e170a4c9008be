"""Tells open pages that there is something new: they then ask for themselves anew.

What is looked up is cheap (the ends of indexes, or one run's rows), once for all who look at the same thing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import DBAPIError
from starlette.responses import StreamingResponse

from inngest_celery.server.state import Server, Serving
from inngest_celery.store import progress
from inngest_celery.store.database import DatabaseError

router = APIRouter()

_EVERY_S = 1.0
# Proxies close connections on which nothing is said.
_SIGN_OF_LIFE_S = 15.0


@dataclass(slots=True)
class _Look:
    """What was seen last of one thing, when, and by how many pages."""

    pages: int = 0
    at: float = 0.0
    seen: object = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Live:
    """Looks for what is new.

    Args:
        server: whose database.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._looks: dict[str, _Look] = {}
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End all answers: a server waits for them before it stops."""
        self._stopped.set()

    async def changes(self, run_id: str) -> AsyncIterator[str]:
        """Say ``changed`` whenever a run is not what it was, or any run or event if none is named, until stopped."""
        look = self._looks.setdefault(run_id, _Look())
        look.pages += 1
        try:
            async for line in self._lines(run_id, look):
                yield line
        finally:
            look.pages -= 1
            if not look.pages:
                del self._looks[run_id]

    async def _lines(self, run_id: str, look: _Look) -> AsyncIterator[str]:
        seen, told = await self._seen(run_id, look), time.monotonic()
        yield "retry: 2000\n\n"
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), _EVERY_S)
            now = await self._seen(run_id, look)
            if now != seen:
                seen, told = now, time.monotonic()
                yield "event: changed\ndata:\n\n"
            elif time.monotonic() - told > _SIGN_OF_LIFE_S:
                told = time.monotonic()
                yield ": still here\n\n"

    async def _seen(self, run_id: str, look: _Look) -> object:
        async with look.lock:
            if time.monotonic() - look.at > _EVERY_S / 2:
                # While the database is away, pages stay as they are.
                with suppress(DatabaseError, DBAPIError):
                    look.seen = await run_in_threadpool(self._read, run_id)
                look.at = time.monotonic()
            return look.seen

    def _read(self, run_id: str) -> object:
        with self._server.runtime.database.autocommit() as connection:
            return progress.mark_of_run(connection, run_id) if run_id else progress.mark_of_all(connection)


@router.get("/live")
async def live(request: Request, server: Serving, run: str = "") -> StreamingResponse:
    """Tell when there is something new, as server-sent events."""
    live: Live = request.app.state.live
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(live.changes(run), media_type="text/event-stream", headers=headers)
