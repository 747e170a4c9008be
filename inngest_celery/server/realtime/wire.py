"""The one connection on which this process hears what is published in Redis, for all its listeners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import redis
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from inngest_celery.flow import sentinels
from inngest_celery.worker.realtime import Airwaves

logger = logging.getLogger(__name__)

_CONNECT_S = 2.0
_PAUSE_S = 0.2
# Redis is asked as often as this whether it is there, and has as long to answer.
_PULSE_S = 2.0
_PATIENCE_S = 3.0

Deliver = Callable[[str, str, str], None]
"""What is done with a message: its channel, its topic, its text."""


class Unreachable(Exception):
    """Redis has not confirmed that messages of these channels will come."""


def _pool_of(url: str) -> Any:
    options: dict[str, Any] = {"socket_connect_timeout": _CONNECT_S, "retry": Retry(NoBackoff(), 0), "protocol": 2}
    if url.startswith(sentinels.SCHEME):
        return sentinels.master(url, Sentinel, socket_timeout=None, **options).connection_pool
    return ConnectionPool.from_url(url.replace("+cluster://", "://", 1), socket_timeout=None, **options)


class Wire:
    """Follows channels in Redis. A connection that breaks or falls silent is made anew, with all its channels.

    It has one task that tells Redis what is wanted and one that takes what comes, and is no redis-py ``PubSub``: that
    one cannot say that a subscription is confirmed while messages of others come.

    Args:
        url: the Redis; of a cluster any node will do, as its nodes pass on what is published.
        airwaves: how channels are named there.
        deliver: takes each message.
    """

    def __init__(self, url: str, airwaves: Airwaves, deliver: Deliver) -> None:
        # Redis-py's asynchronous connections have no types of their own.
        self._pool: Any = _pool_of(url)
        self._airwaves = airwaves
        self._deliver = deliver
        self._wanted: set[str] = set()
        # What Redis was asked for on this connection, and what of it is confirmed.
        self._asked: set[str] = set()
        self._confirmed: set[str] = set()
        self._changed = asyncio.Event()
        self._confirmations = asyncio.Condition()
        self._silent = False
        self._task: asyncio.Task[None] | None = None

    async def follow(self, channels: set[str]) -> None:
        """Hear channels from now on: what is published once this has returned will come.

        Raises:
            Unreachable: Redis does not answer. They are followed as soon as it does, unless they are dropped.
        """
        self._wanted |= channels
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._stay_connected())
        try:
            async with asyncio.timeout(_PATIENCE_S), self._confirmations:
                await self._confirmations.wait_for(lambda: channels <= self._confirmed)
        except TimeoutError:
            raise Unreachable from None

    def drop(self, channels: set[str]) -> None:
        """Hear channels no longer."""
        self._wanted -= channels
        self._changed.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _stay_connected(self) -> None:
        works = True
        while True:
            try:
                await self._connected()
            except* (redis.RedisError, OSError) as errors:
                if works or self._confirmed:
                    message = "Realtime does not hear Redis: %s; tried again until it does"
                    logger.warning(message, errors.exceptions[0], extra={"action": "realtime_deaf"})
                works = False
            self._asked.clear()
            self._confirmed.clear()
            await asyncio.sleep(_PAUSE_S)

    async def _connected(self) -> None:
        connection = self._pool.make_connection()
        self._silent = False
        try:
            await connection.connect()
            async with asyncio.TaskGroup() as both:
                both.create_task(self._tell(connection))
                both.create_task(self._hear(connection))
        finally:
            await connection.disconnect(nowait=True)

    async def _tell(self, connection: Any) -> None:
        """Tell Redis what is wanted, whenever that changes, and ask now and then whether it is there."""
        loop = asyncio.get_running_loop()
        pulse_at = loop.time() + _PULSE_S
        while True:
            self._changed.clear()
            # Only what is confirmed is given back, so that a confirmation is always one of the last question.
            if unwanted := self._confirmed - self._wanted:
                self._asked -= unwanted
                self._confirmed -= unwanted
                await connection.send_command("UNSUBSCRIBE", *map(self._airwaves.name_of, unwanted))
            if new := self._wanted - self._asked:
                self._asked |= new
                await connection.send_command("SUBSCRIBE", *map(self._airwaves.name_of, new))
            try:
                async with asyncio.timeout_at(pulse_at):
                    await self._changed.wait()
            except TimeoutError:
                if self._silent:
                    raise redis.TimeoutError("it does not answer") from None
                self._silent = True
                await connection.send_command("PING")
                pulse_at = loop.time() + _PULSE_S

    async def _hear(self, connection: Any) -> None:
        while True:
            said = await connection.read_response(disable_decoding=True)
            self._silent = False
            match said:
                case [b"message", name, packed]:
                    self._deliver(self._airwaves.channel_of(name), *self._airwaves.unpack(packed))
                case [b"subscribe", name, _]:
                    async with self._confirmations:
                        self._confirmed.add(self._airwaves.channel_of(name))
                        self._confirmations.notify_all()
                    self._changed.set()
