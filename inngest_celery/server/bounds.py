"""What is refused of any request before a route sees it: more than memory should hold, and text that no row can."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inngest_celery.server import bodies
from inngest_celery.server.errors import ApiError, formed


class Bounds:
    """Refuses addresses with text that is none (400), and bodies that are too large (413), read or announced."""

    def __init__(self, app: ASGIApp, limit: int = bodies.MAX_BODY) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if not _is_text(scope.get("raw_path") or b"") or not _is_text(scope["query_string"]):
            error = ApiError(400, "the address has bytes in it that are no text, or NUL", code="invalid_request")
            await formed(request, error)(scope, receive, send)
            return
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._limit:
            await formed(request, self._too_large())(scope, receive, send)
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                # The one kind of error that nothing on the way makes another one of.
                raise HTTPException(413, str(self._too_large()))
            return message

        await self._app(scope, bounded, send)

    def _too_large(self) -> ApiError:
        return ApiError(413, f"the request has more than {self._limit} bytes", code="too_large")


def _is_text(part: bytes) -> bool:
    decoded = unquote_to_bytes(part)
    if b"\0" in decoded:
        return False
    try:
        decoded.decode()
    except UnicodeDecodeError:
        return False
    return True
