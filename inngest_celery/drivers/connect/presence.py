"""Who has dialled in, and where: what workers choose a connection from, and what is shown of them. Kept in Redis."""

from __future__ import annotations

import dataclasses
import enum
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

import redis

# A connection that has not been heard of for so long is not called any more. Apps report every ten seconds.
ALIVE_S = 30
_TOKEN_S = 300
# So long a connection is shown after its end.
_SHOWN_MS = 3_600_000
# When it is not certain to be written ever again.
_KEPT_S = 7200


class Status(enum.Enum):
    """``READY`` ones are called. ``DRAINING`` ones end what they have."""

    CONNECTED = "CONNECTED"
    READY = "READY"
    DRAINING = "DRAINING"
    DISCONNECTED = "DISCONNECTED"


@dataclass(frozen=True, slots=True)
class ServedApp:
    """An app that a connection serves.

    Attributes:
        id: as its author wrote it.
        version: of it, if it has one.
        functions: how many it has.
    """

    id: str
    version: str | None
    functions: int


@dataclass(slots=True)
class Connection:
    """What is known of one connection. Times are milliseconds.

    Attributes:
        gateway_id: the gateway that holds it.
        instance_id: what the app calls the process.
        most: how many calls it takes at a time.
        reason: why it ended.
    """

    id: str
    gateway_id: str
    instance_id: str
    address: str
    apps: list[ServedApp]
    most: int
    sdk: str
    sdk_version: str
    platform: str
    cpu_cores: int
    mem_bytes: int
    os: str
    connected_at: int
    heard_at: int
    status: Status = Status.CONNECTED
    ended_at: int | None = None
    reason: str | None = None

    def to_json(self) -> str:
        return json.dumps({**dataclasses.asdict(self), "status": self.status.value})

    @classmethod
    def from_json(cls, text: bytes) -> Connection:
        kept: dict[str, Any] = json.loads(text)
        apps = [ServedApp(**app) for app in kept.pop("apps")]
        return cls(apps=apps, status=Status(kept.pop("status")), **kept)


class Presence:
    """The connections of all gateways.

    Nothing here is the truth: what is lost comes back with the next heartbeat of a connection.

    Args:
        client: of the Redis.
        prefix: what its keys begin with.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._prefix = prefix

    # Dialling in

    def new_token(self, connection_id: str, mark: str = "") -> str:
        """Give what a connection has to show when it dials in.

        Args:
            mark: what is known of whoever dials in, to be read with :func:`mark_of` when it does.
        """
        token = f"{secrets.token_urlsafe(24)}.{mark}"
        self._redis.set(self._key("token", connection_id), token, ex=_TOKEN_S)
        return token

    def is_expected(self, connection_id: str, token: str) -> bool:
        """Tell whether a connection shows the token that it was given."""
        known = cast("bytes | None", self._redis.get(self._key("token", connection_id)))
        return known is not None and secrets.compare_digest(known, token.encode())

    def report(self, connection: Connection) -> None:
        """Write down how a connection is. It is called from now on if it is ready, and not any more otherwise."""
        known = self._key("known", "all")
        self._redis.set(self._key("about", connection.id), connection.to_json(), ex=_KEPT_S)
        self._redis.zadd(known, {connection.id: connection.connected_at})
        self._redis.zremrangebyscore(known, "-inf", connection.heard_at - 24 * _SHOWN_MS)
        if connection.status is Status.READY:
            self._redis.set(self._key("gateway-of", connection.id), connection.gateway_id, ex=ALIVE_S)
            for app in connection.apps:
                self._redis.zadd(self._key("app", app.id), {connection.id: 0}, nx=True)
        else:
            for app in connection.apps:
                self._redis.zrem(self._key("app", app.id), connection.id)
            self._redis.delete(self._key("gateway-of", connection.id))

    # Being called

    def pick(self, app_id: str, without: Collection[str]) -> tuple[str, str] | None:
        """Choose the connection that was not called for longest.

        Args:
            app_id: the app that is to be called.
            without: connections that are not to be chosen.

        Returns:
            Its id, and its gateway's; ``None`` if there is no other.
        """
        key = self._key("app", app_id)
        for raw in cast("list[bytes]", self._redis.zrange(key, 0, -1)):
            connection_id = raw.decode()
            if connection_id in without:
                continue
            gateway = cast("bytes | None", self._redis.get(self._key("gateway-of", connection_id)))
            if gateway is None:
                self._redis.zrem(key, connection_id)
                continue
            turn = self._redis.incr(self._key("turns", app_id))
            self._redis.zadd(key, {connection_id: turn}, xx=True)
            return connection_id, gateway.decode()
        return None

    def doubt(self, app_id: str, connection_id: str) -> None:
        """Choose a connection no more before it is heard of again: it has not acknowledged a call."""
        self._redis.zrem(self._key("app", app_id), connection_id)

    # Being shown

    def all(self, now: int) -> list[Connection]:
        """Give the connections that there are, or were in the last hour, the newest first.

        Args:
            now: the time in milliseconds.
        """
        found = []
        for raw in cast("list[bytes]", self._redis.zrange(self._key("known", "all"), 0, -1, desc=True)):
            text = cast("bytes | None", self._redis.get(self._key("about", raw.decode())))
            if text is None:
                self._redis.zrem(self._key("known", "all"), raw)
                continue
            connection = Connection.from_json(text)
            if connection.status is not Status.DISCONNECTED and now - connection.heard_at > ALIVE_S * 1000:
                # Its gateway is gone, too: nobody was left to say so.
                connection.status, connection.ended_at = Status.DISCONNECTED, connection.heard_at + ALIVE_S * 1000
                connection.reason = "CONSECUTIVE_HEARTBEATS_MISSED"
            if connection.ended_at is None or now - connection.ended_at < _SHOWN_MS:
                found.append(connection)
        return found

    def _key(self, kind: str, name: str) -> str:
        return key_of(self._prefix, kind, name)


def key_of(prefix: str, kind: str, name: str) -> str:
    """Give the key in Redis of something that has to do with apps that dial in."""
    return f"{prefix}:connect:{kind}:{name}"


def mark_of(token: str) -> str:
    """Give what a token that is expected was marked with."""
    return token.partition(".")[2]
