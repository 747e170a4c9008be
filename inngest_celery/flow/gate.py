"""The gate: limits kept in Redis. What waits is a row in the database; Redis only says whose turn it is.

Whatever is here can be lost: :class:`Lost` says that it was, and the worker package makes it anew from the database.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from inngest_celery.flow import scripts, sentinels
from inngest_celery.flow.places import name_of

Operation = list[Any]
"""A name and its arguments, as ``lua/gate.lua`` has them."""

_CLUSTER = ("redis+cluster://", "rediss+cluster://")
# Whoever waits for Redis is a worker with a message in its hands, or a sweep: both come again.
_PATIENCE_S = 2.0
# One that did not answer is not asked again at once: each message would wait as long for nothing.
_REST_S = 1.0


class Lost(Exception):
    """Redis does not know these limits (any more): they are to be told anew from the database."""


class Unknown(Exception):
    """Redis does not know the limits of one function. Its name is the argument."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gate said.

    Attributes:
        called: the jobs to send hints for, as ``<subject>/<key>``, in order.
        answers: one for each operation.
    """

    called: list[str]
    answers: list[Any]


class Gate:
    """Flow control in one Redis, Valkey or Redis Cluster.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; ``redis+cluster://host:port`` for a cluster,
            ``rediss+cluster://`` for one with TLS;
            ``sentinel://host:port;sentinel://…?master_name=…`` for one that sentinels look after.
        prefix: what all keys begin with.
        call_ms: for how long a job that is called keeps its places before it has begun, in milliseconds.
    """

    def __init__(self, url: str, prefix: str, call_ms: int) -> None:
        self.client = connect(url)
        self.prefix = prefix
        self.call_ms = call_ms
        self._rests_until = 0.0

    def do(self, tag: str, now: int, operations: Sequence[Operation], *, restoring: bool = False) -> Answer:
        """Carry out operations on the limits of a tag, in order, in one round trip.

        Args:
            tag: whose limits.
            now: milliseconds.
            operations: what to do.
            restoring: whether this is what makes the limits known again.

        Raises:
            Lost: nothing was done: the limits are not known.
            Unknown: nothing was done: those of one function are not.
            redis.RedisError: Redis does not answer.
        """
        mode = "restoring" if restoring else ""
        text = json.dumps(list(operations), separators=(",", ":"))
        if time.monotonic() < self._rests_until:
            raise redis.ConnectionError("it did not answer a moment ago")
        try:
            raw = scripts.run(self.client, scripts.GATE, self.stem(tag), now, text, self.call_ms, mode)
        except (redis.ConnectionError, redis.TimeoutError):
            self._rests_until = time.monotonic() + _REST_S
            raise
        said = json.loads(raw)
        if said.get("lost"):
            raise Lost(tag)
        if "unknown" in said:
            raise Unknown(said["unknown"])
        if said.get("next") is not None:
            # Never later than another has said meanwhile.
            self.client.zadd(self._timers, {tag: said["next"]}, lt=True)
        # An empty list is an empty table to Lua, and an object when it comes back.
        return Answer(list(said["called"] or []), list(said["answers"] or []))

    def due(self, now: int) -> tuple[list[str], int | None] | None:
        """Give the tags to look at now, and when the next one will be due; ``None`` if all is forgotten."""
        with self.client.pipeline(transaction=False) as pipeline:
            pipeline.exists(self._marker)
            pipeline.zrangebyscore(self._timers, "-inf", now)
            pipeline.zrangebyscore(self._timers, f"({now}", "+inf", start=0, num=1, withscores=True)
            known, due, later = pipeline.execute()
        if not known:
            return None
        return [text_of(tag) for tag in due], round(later[0][1]) if later else None

    def seen_to(self, tag: str, now: int) -> None:
        """Take a tag off the list, unless somebody has put it there again for later."""
        self.client.eval(_SEEN_TO, 1, self._timers, tag, now)

    def mark(self) -> None:
        """Note that all limits are known; :meth:`due` tells when they no longer are."""
        self.client.set(self._marker, 1)

    def begin_restoring(self, tag: str, for_ms: int) -> bool:
        """Make sure that one process at a time restores a tag."""
        return bool(self.client.set(f"{self.stem(tag)}:restoring", 1, nx=True, px=for_ms))

    def go_on_restoring(self, tag: str, for_ms: int) -> None:
        self.client.pexpire(f"{self.stem(tag)}:restoring", for_ms)

    def end_restoring(self, tag: str) -> None:
        self.client.delete(f"{self.stem(tag)}:restoring")

    def is_restoring(self, tag: str) -> bool:
        """Tell whether somebody restores a tag, and nothing of it is known yet."""
        with self.client.pipeline(transaction=False) as pipeline:
            pipeline.exists(f"{self.stem(tag)}:restoring")
            pipeline.exists(f"{self.stem(tag)}:alive")
            restoring, alive = pipeline.execute()
        return bool(restoring) and not alive

    def members(self, tag: str, resource: str) -> list[str]:
        """Give who has a place in a resource."""
        return [text_of(member) for member in self.client.smembers(f"{self.stem(tag)}:in:{resource}")]

    def waited_for(self, tag: str) -> list[str]:
        """Give the resources that somebody waits for."""
        return sorted({text_of(resource) for resource in self.client.hvals(f"{self.stem(tag)}:waits")})

    def stem(self, tag: str) -> str:
        return f"{self.prefix}:{{{name_of(tag)}}}"

    @property
    def _timers(self) -> str:
        return f"{self.prefix}:timers"

    @property
    def _marker(self) -> str:
        return f"{self.prefix}:marker"


_SEEN_TO = """
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if due and tonumber(due) <= tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], ARGV[1]) end
"""


def connect(url: str, patience_s: float = _PATIENCE_S) -> redis.Redis:
    """Connect to a Redis, or to a cluster of them.

    A cluster's client has the same commands, but is no subclass.

    Args:
        url: see :class:`Gate`.
        patience_s: how long to wait for an answer. It has to be longer than any command that waits by itself.
    """
    patience = {"socket_timeout": patience_s, "socket_connect_timeout": _PATIENCE_S}
    if url.startswith(_CLUSTER):
        cluster: Any = RedisCluster.from_url(url.replace("+cluster://", "://", 1), **patience)
        return cluster  # type: ignore[no-any-return]
    # Tried once more at once, for a connection that the other side has closed meanwhile; then it is left for later.
    again = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    if url.startswith(sentinels.SCHEME):
        found: redis.Redis = sentinels.master(url, Sentinel, retry=again, **patience)
        return found
    return redis.Redis.from_url(url, retry=again, **patience)


def text_of(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
