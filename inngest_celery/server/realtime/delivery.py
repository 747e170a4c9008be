"""What is published goes out to one listener, as frames of a WebSocket or as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Receive, Send

from inngest_celery.server.realtime.listener import End, Listener

SSE_LIMIT_S = 15 * 60.0
_KEEP_ALIVE_S = 15.0
# Who reads so slowly that it is cut off may not read why, either.
_FAREWELL_S = 1.0

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # Proxies would collect events otherwise.
    (b"x-accel-buffering", b"no"),
]


async def over_websocket(websocket: WebSocket, listener: Listener, take: Callable[[str], Awaitable[None]]) -> None:
    """Send what a listener gets until one side ends it, and have what the client says taken, one after the other."""

    async def pass_on() -> None:
        while True:
            await websocket.send_text(await listener.take())

    async def until_gone() -> None:
        while (said := await websocket.receive())["type"] != "websocket.disconnect":
            if text := said.get("text"):
                await take(text)

    await websocket.accept()
    why = await _first(listener, pass_on, until_gone)
    if why is not None:
        with suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(_FAREWELL_S):
                await websocket.close(why.code, why.reason)


async def over_sse(receive: Receive, send: Send, listener: Listener) -> None:
    """Send what a listener gets until one side ends it, or it was long enough."""

    async def write(text: str) -> None:
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

    async def pass_on() -> None:
        # Tells that messages come from now on.
        await write(": listening\n\n")
        while True:
            try:
                async with asyncio.timeout(_KEEP_ALIVE_S):
                    message = await listener.take()
            except TimeoutError:
                await write(": still here\n\n")
            else:
                await write(f"data: {message}\n\n")

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    late = asyncio.get_running_loop().call_later(SSE_LIMIT_S, listener.end, End.LATE)
    try:
        why = await _first(listener, pass_on, until_gone)
    finally:
        late.cancel()
    if why is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _first(
    listener: Listener, pass_on: Callable[[], Awaitable[None]], until_gone: Callable[[], Awaitable[None]]
) -> End | None:
    """Pass messages on until the client is gone (``None``) or the listener is at its end, and why."""
    sending, gone = asyncio.ensure_future(pass_on()), asyncio.ensure_future(until_gone())
    ended = asyncio.ensure_future(listener.ended())
    tasks = {sending, gone, ended}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if gone in done:
        gone.result()
    if sending in done:
        # A client that goes away in the middle of a frame is no error of ours.
        with suppress(WebSocketDisconnect, OSError):
            sending.result()
    return ended.result() if ended in done and gone not in done else None
