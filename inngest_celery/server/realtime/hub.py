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
        # How many of these are topics of each channel.
        self._channels: defaultdict[str, int] = defaultdict(int)
        self._all: set[Listener] = set()
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
        listener = Listener()
        self._all.add(listener)
        try:
            await self.add(listener, topics)
            yield listener
        finally:
            self.remove(listener, topics | listener.topics)
            self._all.discard(listener)

    async def add(self, listener: Listener, topics: frozenset[Topic]) -> None:
        """Have somebody listen to more topics: whatever is published from the end of this on is heard.

        Raises:
            ApiError: 503, Redis does not answer; nothing is added.
        """
        new = topics - listener.topics
        listener.topics |= new
        for topic in new:
            self._listeners[topic].add(listener)
            self._channels[topic.channel] += 1
        try:
            if new and (wire := self._connect()):
                await wire.follow({topic.channel for topic in new})
        except Unreachable:
            self.remove(listener, new)
            message = "Redis does not answer, so messages would not come. Listen again in a moment."
            raise ApiError(503, message, code="unavailable") from None
        self._came.set()

    def remove(self, listener: Listener, topics: frozenset[Topic]) -> None:
        """Have somebody listen to these topics no longer."""
        gone = topics & listener.topics
        listener.topics -= gone
        for topic in gone:
            # Who comes back is told again how it stands.
            listener.told.pop(topic, None)
            self._listeners[topic].discard(listener)
            if not self._listeners[topic]:
                del self._listeners[topic]
            self._channels[topic.channel] -= 1
        silent = {topic.channel for topic in gone if not self._channels[topic.channel]}
        for channel in silent:
            del self._channels[channel]
        if self._wire is not None and silent:
            self._wire.drop(silent)

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
        for listener in self._all:
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
