"""Where workers and gateways meet: the calls for apps that have dialled in, and their answers. All of it in Redis."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import cast

import redis

from inngest_celery.drivers.connect.presence import Presence, key_of
from inngest_celery.flow.gate import connect

# No command that waits by itself does so for longer, and no answer takes as long as this on top.
MOST_WAIT_S = 5.0
_ANSWER_S = 5.0
# Apps report once in a second at most, and a report may be late.
_LEAST_LEASE_S = 4.0
_KEPT_S = 600
_UNCLAIMED_S = 60


class Told(enum.Enum):
    """What a gateway tells the worker that waits for a call.

    ``TAKEN``: the app has it. ``WORKING``: it is still at it. ``ANSWERED``: here is what it gave. ``REFUSED``: it was
    not passed on, as the app has as much as it takes, or is not there any more.
    """

    TAKEN = b"t"
    WORKING = b"w"
    ANSWERED = b"a"
    REFUSED = b"r"


class Channel:
    """One side of the meeting place.

    A call is wanted as long as its worker says so, time and again: an app need not go on for one that has died.

    Args:
        url: of the Redis.
        prefix: what its keys begin with.
        lease_s: how long a call is believed to be wanted, and to be worked on, after it has last been said. Four
            seconds at least.

    Attributes:
        presence: who can be called.
        lease_s: in seconds.
        patience_s: so long a call waits for an app that dials in again, as it does when its gateway goes away.
    """

    def __init__(self, url: str, prefix: str, lease_s: float) -> None:
        self._prefix = prefix
        self._redis: redis.Redis = connect(url, MOST_WAIT_S + _ANSWER_S)
        self.presence = Presence(self._redis, prefix)
        self.lease_s = max(lease_s, _LEAST_LEASE_S)
        self.patience_s = 2.0

    # From a worker to a gateway

    def ask(self, gateway_id: str, connection_id: str, request_id: str, request: bytes) -> None:
        """Have a gateway send a call over a connection."""
        self.want(request_id)
        key = self._key("gateway", gateway_id)
        self._redis.rpush(key, connection_id.encode() + b"\0" + request)
        self._redis.expire(key, _UNCLAIMED_S)

    def next_call(self, gateway_id: str, timeout_s: float) -> tuple[str, bytes] | None:
        """Wait for the next call that a gateway is to send: over which connection, and what."""
        taken = self._take(self._key("gateway", gateway_id), timeout_s)
        if taken is None:
            return None
        connection_id, _, request = taken.partition(b"\0")
        return connection_id.decode(), request

    def wake(self, gateway_id: str) -> None:
        """End a gateway's wait for a call, with one that is for nobody."""
        self._redis.rpush(self._key("gateway", gateway_id), b"")

    def want(self, request_id: str) -> None:
        """Say that somebody waits for an answer."""
        self._redis.set(self._key("wanted", request_id), 1, px=round(self.lease_s * 1000))

    def is_wanted(self, request_id: str) -> bool:
        return bool(self._redis.exists(self._key("wanted", request_id)))

    def forget(self, request_id: str) -> None:
        """Say that nobody waits any more: whoever works on it may stop."""
        self._redis.delete(self._key("wanted", request_id))
        self._redis.delete(self._key("told", request_id))

    # From a gateway to a worker

    def tell(self, request_id: str, what: Told, payload: bytes = b"") -> None:
        """Tell whoever waits for an answer."""
        key = self._key("told", request_id)
        self._redis.rpush(key, what.value + payload)
        self._redis.expire(key, _KEPT_S if what is Told.ANSWERED else _UNCLAIMED_S)

    def hear(self, request_id: str, timeout_s: float) -> tuple[Told, bytes] | None:
        """Wait for what is told next about a call."""
        taken = self._take(self._key("told", request_id), timeout_s)
        return None if taken is None else (Told(taken[:1]), taken[1:])

    def close(self) -> None:
        self._redis.close()

    def _take(self, key: str, timeout_s: float) -> bytes | None:
        taken = cast("Sequence[bytes] | None", self._redis.blpop([key], min(timeout_s, MOST_WAIT_S)))
        return None if taken is None else taken[1]

    def _key(self, kind: str, name: str) -> str:
        return key_of(self._prefix, kind, name)
