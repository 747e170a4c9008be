"""Bodies of requests: no more of one is read than may be taken, and JSON is what every part of the server can store."""

from __future__ import annotations

import json

from fastapi import Request

from inngest_celery.server.errors import ApiError

# A request may hold many events, and each may be large; together they may not be everything that memory holds.
MAX_BODY = 64 * 1024 * 1024


async def read(request: Request, limit: int = MAX_BODY, advice: str = "send less") -> bytes:
    """Read a body, up to a limit.

    Args:
        limit: bytes.
        advice: what to do instead of sending more.

    Raises:
        ApiError: 413; not all of it was read.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit, advice)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _too_large(limit, advice)
        parts.append(part)
    return b"".join(parts)


def json_of(body: bytes) -> object:
    """Read JSON.

    Raises:
        ApiError: 400: it is none, or none that can be written again as it is.
    """
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
        if b"\\ud" in body or b"\\uD" in body:
            # Half of a pair is no text.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ApiError(400, f"the body is no JSON: {reason}", code="body_invalid") from None
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _too_large(limit: int, advice: str) -> ApiError:
    return ApiError(413, f"the request has more than {limit} bytes: {advice}", code="too_large")
