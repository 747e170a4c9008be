"""An empty broker for each test: a flushed Valkey of our own, a flushed Redis database, or a virtual host."""

from __future__ import annotations

import os
import socket
from itertools import count
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import redis

from inngest_celery.embedded import Embedded
from tests import rabbitmq
from tests.redis_cluster import Cluster
from tests.services import PREFIX, RUN_PREFIX, SERVICES

_CLAIM_SECONDS = 7 * 24 * 3600
_STEAL = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('set', KEYS[1], ARGV[2], 'EX', ARGV[3]) return 1 end"
_BATCH = 8


class Broker(Protocol):
    """Gives empty brokers. One object serves all tests of a process."""

    def empty(self) -> str:
        """The URL of a broker with nothing in it. What was given before may be gone."""

    def close(self) -> None:
        """Remove what was made."""


class Valkey:
    """The embedded server, one a process."""

    def __init__(self, directory: Path) -> None:
        self._stack = Embedded(directory, persist=False)
        self._stack.start()

    def empty(self) -> str:
        with redis.Redis.from_url(self._stack.broker_url) as client:
            client.flushall()
        return self._stack.broker_url

    def close(self) -> None:
        self._stack.stop()


class Redis:
    """A numbered database of a shared Redis, claimed for this process.

    A database with keys in it that no claim of ours explains belongs to somebody else and is left alone. The claims
    are keys in database 0 with the process's id as value, so that those of dead processes can be taken over.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._owner = f"{socket.gethostname()} {os.getpid()}"
        with self._connect(0) as claims:
            total = int(claims.config_get("databases")["databases"])
            self._number = next((number for number in range(1, total) if self._claim(claims, number)), 0)
        if not self._number:
            raise RuntimeError(f"All databases of the Redis at {url} are in use. Flush one, or set TEST_REDIS_URL.")

    def empty(self) -> str:
        with self._connect(self._number) as client:
            client.flushdb()
        return self._url(self._number)

    def close(self) -> None:
        self.empty()
        with self._connect(0) as claims:
            claims.delete(self._key(self._number))

    def _claim(self, claims: redis.Redis, number: int) -> bool:
        key = self._key(number)
        if claims.set(key, self._owner, nx=True, ex=_CLAIM_SECONDS):
            with self._connect(number) as client:
                if client.dbsize() == 0:
                    return True
            claims.delete(key)
            return False
        holder = str(claims.get(key) or "")
        return _is_dead(holder) and bool(claims.eval(_STEAL, 1, key, holder, self._owner, _CLAIM_SECONDS))

    def _connect(self, number: int) -> redis.Redis:
        return redis.Redis.from_url(self._url(number), decode_responses=True)

    def _url(self, number: int) -> str:
        return urlunsplit(self._parts._replace(path=f"/{number}"))

    @staticmethod
    def _key(number: int) -> str:
        return f"{PREFIX}redis_{number}"


class RabbitMQ:
    """Virtual hosts, made in batches because each call of the tool that makes them takes a third of a second."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._numbers = count()
        self._unused: list[str] = []
        self._used: list[str] = []

    def empty(self) -> str:
        if not self._unused:
            self._unused = [f"{RUN_PREFIX}{next(self._numbers)}" for _ in range(_BATCH)]
            rabbitmq.replace_vhosts(self._parts, remove=self._used, add=self._unused)
            self._used = []
        name = self._unused.pop()
        self._used.append(name)
        return urlunsplit(self._parts._replace(path="/" + quote(name, safe="")))

    def close(self) -> None:
        if self._used or self._unused:
            rabbitmq.replace_vhosts(self._parts, remove=self._used + self._unused, add=[])


def open_broker(kind: str, directory: Path) -> Broker:
    """Connect to the broker of this kind (``valkey``, ``redis``, ``rabbitmq``), or to a Redis Cluster (``cluster``)."""
    match kind:
        case "valkey":
            return Valkey(directory)
        case "redis":
            return Redis(SERVICES[kind].url)
        case "rabbitmq":
            return RabbitMQ(SERVICES[kind].url)
        case "cluster":
            return Cluster(directory)
    raise ValueError(f"no such broker: {kind}")


def _is_dead(holder: str) -> bool:
    host, _, pid = holder.partition(" ")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
