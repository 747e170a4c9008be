"""Who listens to what in this server process, and how a message gets to them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi.concurrency import run_in_threadpool

from inngest_celery.server.errors import ApiError
from inngest_celery.server.realtime.listener import End, Listener
from inngest_celery.server.realtime.wire import Unreachable, Wire
from inngest_celery.worker.realtime import Airwaves
from inngest_celery.worker.realtime_tokens import Topic
from inngest_celery.worker.runtime import Runtime


class Hub:
    """The listeners of one server process. Without Redis, what is published in this process reaches them, and no more.

    Args:
        runtime: says which Redis.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._listeners: defaultdict[Topic, set[Listener]] = defaultdict(set)
        self._channels: defaultdict[str, int] = defaultdict(int)
        self._wire: Wire | None = None
        self._came = asyncio.Event()
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def listening(self, topics: frozenset[Topic]) -> AsyncIterator[Listener]:
        """Listen meanwhile: whatever is published from the beginning of the block on is heard.

        Raises:
            ApiError: 503, Redis does not answer, or the server stops.
        """
        if self._stopped:
            raise ApiError(503, End.STOPPED.reason, code="unavailable")
        self._loop = asyncio.get_running_loop()
        listener = Listener(topics)
        channels = {topic.channel for topic in topics}
        for channel in channels:
            self._channels[channel] += 1
        for topic in topics:
            self._listeners[topic].add(listener)
        try:
            if wire := self._connect():
                await wire.follow(channels)
            self._came.set()
            yield listener
        except Unreachable:
            message = "Redis does not answer, so messages would not come. Listen again in a moment."
            raise ApiError(503, message, code="unavailable") from None
        finally:
            self._forget(listener, channels)

    async def listeners_to(self, *names: str) -> set[Listener]:
        """Give those who listen to topics of these names, on any channel, as soon as there are some."""
        while True:
            self._came.clear()
            found = {each for topic, several in self._listeners.items() if topic.name in names for each in several}
            if found:
                return found
            await self._came.wait()

    async def publish(self, channel: str, topic: str, message: str) -> None:
        """Publish a message to whoever listens, at any server.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        if self._runtime.redis_url is None:
            self.deliver(channel, topic, message)
        else:
            # To make the publisher may take time, too.
            await run_in_threadpool(lambda: self._runtime.publisher.publish(channel, topic, message))

    def deliver(self, channel: str, topic: str, message: str) -> None:
        """Give a message to those who listen here."""
        for listener in list(self._listeners.get(Topic(channel, topic), ())):
            listener.offer(message)

    def stop(self) -> None:
        """Let all listeners go, and no new ones in. Any thread may do so.

        A server waits for the end of its answers before it stops, and these would have none.
        """
        self._stopped = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        for listener in {each for several in self._listeners.values() for each in several}:
            listener.end(End.STOPPED)

    async def close(self) -> None:
        """End what goes on in the background."""
        self._stopped = True
        self._release()
        if self._wire is not None:
            await self._wire.close()

    def _connect(self) -> Wire | None:
        url = self._runtime.redis_url
        if self._wire is None and url is not None:
            self._wire = Wire(url, Airwaves(self._runtime.settings.redis_prefix), self.deliver)
        return self._wire

    def _forget(self, listener: Listener, channels: set[str]) -> None:
        for topic in listener.topics:
            self._listeners[topic].discard(listener)
            if not self._listeners[topic]:
                del self._listeners[topic]
        for channel in channels:
            self._channels[channel] -= 1
        silent = {channel for channel in channels if not self._channels[channel]}
        for channel in silent:
            del self._channels[channel]
        if self._wire is not None:
            self._wire.drop(silent)
