"""A body that is published while it comes: a beginning, chunks of text, and an end."""

from __future__ import annotations

import codecs
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from starlette.requests import ClientDisconnect

from inngest_celery.server.errors import ApiError
from inngest_celery.server.realtime.hub import Hub
from inngest_celery.worker.realtime import compose

CHUNK = 1024
MAX_STREAM_BYTES = 1000 * CHUNK


async def publish_stream(
    hub: Hub,
    channel: str,
    topics: Sequence[str],
    parts: AsyncIterator[bytes],
    now: Callable[[], int],
    run_id: str | None,
) -> bytes:
    """Publish text as it comes, and give all of it at the end.

    Whoever has heard the beginning hears the end, too, if Redis answers: also when the sender goes away in the middle.

    Args:
        hub: where.
        channel, topics: what it is published on.
        parts: the text, in UTF-8.
        now: tells the time, in milliseconds since 1970.
        run_id: the run that says it.

    Raises:
        ApiError: 413, it was too long; what is above the limit is not published.
    """
    stream_id = secrets.token_hex(16)

    async def say(kind: str, data: str) -> None:
        for topic in topics:
            message = compose(kind, channel, topic, data, now(), run_id=run_id, stream_id=stream_id)
            await hub.publish(channel, topic, message)

    # What a character consists of may come in two parts.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    body = bytearray()
    await say("datastream-start", stream_id)
    try:
        async for part in parts:
            if len(body) + len(part) > MAX_STREAM_BYTES:
                message = f"the stream has more than {MAX_STREAM_BYTES} bytes, and has ended here: go on in another one"
                raise ApiError(413, message, code="body_invalid")
            body += part
            await _say_all(say, decoder.decode(part))
        await _say_all(say, decoder.decode(b"", final=True))
    except ClientDisconnect:
        # Nobody reads this.
        raise ApiError(400, "the sender has gone away in the middle of the stream", code="body_invalid") from None
    finally:
        await say("datastream-end", stream_id)
    return bytes(body)


async def _say_all(say: Callable[[str, str], Awaitable[None]], text: str) -> None:
    for start in range(0, len(text), CHUNK):
        await say("chunk", text[start : start + CHUNK])
