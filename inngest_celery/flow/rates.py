"""Rate limits: whether an event may start a run, or is dropped. Kept in Redis, like the gate's limits."""

from __future__ import annotations

import json
from collections.abc import Sequence

import redis

from inngest_celery.engine.spec import Rate
from inngest_celery.flow import scripts
from inngest_celery.flow.gate import Lost
from inngest_celery.flow.places import name_of


class RateLimits:
    """The rate limits of functions.

    Args:
        client: of the Redis or the cluster.
        prefix: what all keys begin with.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def admits(self, function_id: str, rate: Rate, resource: str, event_id: str, now: int) -> bool:
        """Tell whether an event may start a run of a function; for 30 minutes it says the same about the same event.

        Args:
            resource: the limit with its key.
            now: milliseconds.

        Raises:
            Lost: Redis does not know what has started lately; see :meth:`restore`.
            redis.RedisError: Redis does not answer.
        """
        said = self._run(function_id, now, "ask", _limit(rate), name_of(resource), event_id)
        if said == "lost":
            raise Lost(function_id)
        return bool(said == "yes")

    def restore(self, function_id: str, rate: Rate, starts: Sequence[tuple[str, int]], now: int) -> None:
        """Tell Redis what has started lately: resources and times in milliseconds, the oldest first."""
        named = [(name_of(resource), at) for resource, at in starts]
        self._run(function_id, now, "restore", _limit(rate), json.dumps(named))

    def set(self, function_id: str, config: str | None, now: int) -> None:
        """Let a limit hold that an operator has set (JSON text), or that of the code again."""
        self._run(function_id, now, "set", config or "")

    def _run(self, function_id: str, now: int, *arguments: str) -> str:
        stem = f"{self._prefix}:{{rate {name_of(function_id)}}}"
        said = scripts.run(self._client, scripts.RATE, stem, now, *arguments)
        return said.decode() if isinstance(said, bytes) else str(said)


def _limit(rate: Rate) -> str:
    return json.dumps({"limit": rate.limit, "period": rate.period_ms})
