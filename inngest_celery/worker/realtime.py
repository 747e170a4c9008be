"""Realtime messages: what one looks like, and how it gets to whoever listens at a server.

They go through Redis pub/sub, so that every server process hears what any worker or server says. Nothing is kept: who
does not listen when a message is published never gets it.
"""

from __future__ import annotations

import json

from inngest_celery.engine.durations import instant
from inngest_celery.flow.gate import connect

MAX_BYTES = 512 * 1024
MAX_NAME = 512


def compose(
    kind: str,
    channel: str,
    topic: str,
    data: object,
    at: int,
    *,
    run_id: str | None = None,
    fn_id: str | None = None,
    stream_id: str | None = None,
    metadata: object = None,
) -> str:
    """Give a message as subscribers get it.

    Args:
        kind: such as ``data``.
        channel, topic: where it is published.
        data: what is said; JSON.
        at: when, in milliseconds since 1970.
        run_id, fn_id: the run that says it, and its function's id as SDKs know it.
        stream_id: the stream that it is a part of.
        metadata: what else the publisher wants to say; JSON.

    Raises:
        TypeError, ValueError: the data is no JSON.
    """
    message = {"kind": kind, "channel": channel, "topic": topic, "data": data, "created_at": instant(at)}
    # SDKs take text in these, or nothing.
    more = {"run_id": run_id, "fn_id": fn_id, "stream_id": stream_id, "metadata": metadata}
    message.update({name: value for name, value in more.items() if value is not None})
    return json.dumps(message, separators=(",", ":"), allow_nan=False)


class Airwaves:
    """Redis channels, one for each realtime channel. A topic stands before its message, to be told without parsing it.

    Args:
        prefix: what the names in Redis begin with.
    """

    def __init__(self, prefix: str) -> None:
        self._stem = f"{prefix}:realtime:"

    def name_of(self, channel: str) -> bytes:
        return f"{self._stem}{channel}".encode()

    def channel_of(self, name: bytes) -> str:
        return name.decode().removeprefix(self._stem)

    @staticmethod
    def pack(topic: str, message: str) -> bytes:
        return f"{json.dumps(topic)}\n{message}".encode()

    @staticmethod
    def unpack(packed: bytes) -> tuple[str, str]:
        topic, _, message = packed.decode().partition("\n")
        return str(json.loads(topic)), message


class Publisher:
    """Publishes from this process.

    Args:
        url: the Redis.
        prefix: what the names there begin with.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._client = connect(url)
        self._airwaves = Airwaves(prefix)

    def publish(self, channel: str, topic: str, message: str) -> None:
        """Publish a message that :func:`compose` has made.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        self._client.publish(self._airwaves.name_of(channel), self._airwaves.pack(topic, message))
