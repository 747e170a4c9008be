"""What flow control does by the clock: throttles that have a token again, calls and leases that ran out, new limits.

Done by the worker that sweeps. It costs a round trip a second, however many jobs wait, and one more for what is due.
"""

from __future__ import annotations

import logging

import redis

from inngest_celery.engine import policies
from inngest_celery.engine.spec import read_spec
from inngest_celery.store import functions as function_rows
from inngest_celery.store import jobs as job_rows
from inngest_celery.worker import hints
from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

_REFRESH_MS = 30_000
# A throttle of a thousand a second gives its tokens in bunches rather than one by one.
_SHORTEST_MS = 20


def tell_limits(runtime: Runtime) -> None:
    """Let Redis know what limits the code has now; if it cannot, whoever sweeps does it later.

    Raises:
        SettingsError: a function has limits, and there is no Redis to keep them in (code ``redis_missing``).
    """
    if not _anything_limited(runtime):
        return
    try:
        hints.send(runtime, runtime.admission.refresh())
    except redis.RedisError as error:
        logger.warning("Redis does not answer (%s).", error, extra={"action": "flow_unavailable"})


def _anything_limited(runtime: Runtime) -> bool:
    with runtime.database.autocommit() as connection:
        return any(policies.needs_redis(read_spec(row.config)) for row in function_rows.all_of(connection))


class FlowClock:
    """Looks after the gate between two sweeps."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._refreshed_at: int | None = None
        self._concerned = False
        self._failing = False
        # Whether a sweep may have taken up jobs and not put them in line: Redis was away, or the worker has died.
        self._unsure = True

    def rest(self) -> None:
        """Leave it to another worker."""
        self._refreshed_at, self._unsure = None, True

    def tick(self) -> int | None:
        """Do what is due.

        Returns:
            When to come again, in milliseconds, if something is known to be due.
        """
        runtime, now = self._runtime, self._runtime.clock.now()
        try:
            if self._refreshed_at is None or now - self._refreshed_at >= _REFRESH_MS:
                self._concerned = runtime.redis_url is not None and _anything_limited(runtime)
                if self._concerned:
                    hints.send(runtime, runtime.admission.refresh())
                self._refreshed_at = now
            if not self._concerned:
                return None
            jobs, later = runtime.admission.tick()
            hints.send(runtime, jobs)
            if self._unsure or runtime.admission.left_out:
                self._unsure = runtime.admission.left_out = False
                job_rows.unpark(runtime.database, now)
        except redis.RedisError as error:
            if not self._failing:
                logger.warning(
                    "Redis does not answer (%s). What its limits concern waits until it is back.",
                    error,
                    extra={"action": "flow_unavailable"},
                )
            self._failing = True
            return None
        self._failing = False
        return None if later is None else max(later, now + _SHORTEST_MS)
