"""What limits functions now: the code's limits, and what operators set instead, for a while or until they are reset."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis
from celery import Celery

from inngest_celery.engine import policies
from inngest_celery.engine.durations import format_duration
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.store import functions, limits
from inngest_celery.store.conflicts import retried
from inngest_celery.store.limits import SetLimit
from inngest_celery.worker import hints
from inngest_celery.worker.control import FunctionNotRegisteredError
from inngest_celery.worker.runtime import runtime_of
from inngest_celery.worker.usage import KeyInUse, Usage

_SHORTEST_MS = 1000
# As the code's own may be.
_LONGEST_MS = {"throttle": 7 * 86_400_000, policies.RATE_LIMIT: 86_400_000}


class LimitNotFoundError(LookupError):
    """A function has no such limit in its code. ``code`` is ``limit_not_found``."""

    code = "limit_not_found"

    def __init__(self, function_id: str, policy: str, known: Sequence[str]) -> None:
        has = f"It has: {', '.join(known)}." if known else "It has none."
        super().__init__(
            f"The function {function_id} has no limit {policy!r} in its code, and only those can be set. {has}"
        )


class LimitInvalidError(ValueError):
    """A limit cannot be set to this. ``code`` is ``limit_invalid``."""

    code = "limit_invalid"


@dataclass(frozen=True, slots=True)
class LimitInfo:
    """One limit of a function. Limits are ``{"limit": …}``, some with ``period`` (milliseconds) and ``burst``.

    Attributes:
        policy: its name, such as ``concurrency.0``.
        key: its key expression.
        code: what the code says.
        holds: what holds now.
        set_at, expires_at: when an operator has set that, and until when; ``None`` if no operator has, or for good.
        keys: its busiest keys; ``None`` where Redis does not tell.
    """

    function_id: str
    policy: str
    key: str | None
    code: Mapping[str, float]
    holds: Mapping[str, float]
    set_at: int | None
    expires_at: int | None
    keys: list[KeyInUse] | None


class Limits:
    """The limits of the functions on a Celery app.

    Example: ``Limits(app).set("shop-pay", "concurrency.0", 20, for_ms=2 * 3_600_000)``
    """

    def __init__(self, app: Celery) -> None:
        self._runtime = runtime_of(app)

    def set(
        self,
        function_id: str,
        policy: str,
        limit: float,
        *,
        period_ms: int | None = None,
        burst: int | None = None,
        for_ms: int | None = None,
    ) -> tuple[SetLimit, bool]:
        """Let a limit be another than the code says. What waits and may go now goes at once.

        It survives deployments and restarts.

        Args:
            function_id: the full id.
            policy: which limit, such as ``concurrency.0`` or ``throttle``. The code must have it.
            limit: how many, or how much of a budget. 0 lets nothing begin.
            period_ms: of a throttle or rate limit, in milliseconds; the code's, if left out.
            burst: of a throttle; the code's, if left out.
            for_ms: for how long, in milliseconds; until it is reset, if left out.

        Returns:
            What is stored, and whether Redis was told. If not, a worker tells it, within 30 seconds of its coming back.

        Raises:
            FunctionNotRegisteredError: there is no such function.
            LimitNotFoundError: it has no such limit.
            LimitInvalidError: the limit cannot be set to this.
            SettingsError: there is no Redis to keep limits in (code ``redis_missing``).
        """
        spec = self._spec(function_id)
        said = _in_code(spec)
        if policy not in said:
            raise LimitNotFoundError(function_id, policy, list(said))
        config = _checked(policy, said[policy], limit, period_ms, burst)
        if for_ms is not None and for_ms < _SHORTEST_MS:
            raise LimitInvalidError("--for: a limit holds for 1s or more. Leave it out for one that holds until reset.")
        self._runtime.admission  # noqa: B018
        now = self._runtime.clock.now()
        expires_at = None if for_ms is None else now + for_ms
        if expires_at is not None:
            config["until"] = expires_at
        stored = SetLimit(function_id, policy, json.dumps(config, sort_keys=True), expires_at, now)
        self._store(stored)
        return stored, self._tell(function_id, policy, stored.config)

    def reset(self, function_id: str, policy: str) -> tuple[bool, bool]:
        """Let what the code says hold again.

        Returns:
            Whether anything was set, and whether Redis was told; see :meth:`set`.

        Raises:
            FunctionNotRegisteredError: there is no such function.
            SettingsError: there is no Redis to keep limits in (code ``redis_missing``).
        """
        self._spec(function_id)
        self._runtime.admission  # noqa: B018
        dropped = self._drop(function_id, policy)
        # Told even if nothing was stored: Redis may not have heard of it the last time.
        return dropped, self._tell(function_id, policy, None)

    def list(self, function_id: str | None = None, most: int = 5) -> list[LimitInfo]:
        """Give the limits of all functions, or of one.

        Args:
            function_id: the full id; all, if left out.
            most: how many keys of each limit to give, the busiest first.

        Raises:
            FunctionNotRegisteredError: there is no such function.
        """
        now = self._runtime.clock.now()
        with self._runtime.database.autocommit() as connection:
            rows = functions.all_of(connection)
            overrides = {(each.function_id, each.policy): each for each in limits.set_limits(connection, now)}
        specs = [read_spec(row.config) for row in sorted(rows, key=lambda row: row.id) if row.archived_at is None]
        if function_id is not None:
            specs = [spec for spec in specs if spec.id == function_id]
            if not specs:
                raise FunctionNotRegisteredError(function_id)
        usage = Usage(self._runtime, most, now)
        found = []
        for spec in specs:
            for policy, said in _in_code(spec).items():
                override = overrides.get((spec.id, policy))
                found.append(
                    LimitInfo(
                        function_id=spec.id,
                        policy=policy,
                        key=policies.key_of(spec, policy),
                        code=said,
                        holds=json.loads(override.config) if override else said,
                        set_at=override.set_at if override else None,
                        expires_at=override.expires_at if override else None,
                        keys=usage.of(spec, policy),
                    )
                )
        return found

    @retried
    def _store(self, limit: SetLimit) -> None:
        with self._runtime.database.transaction() as connection:
            limits.put(connection, limit)

    @retried
    def _drop(self, function_id: str, policy: str) -> bool:
        with self._runtime.database.transaction() as connection:
            return limits.drop(connection, function_id, policy)

    def _spec(self, function_id: str) -> FunctionSpec:
        with self._runtime.database.autocommit() as connection:
            function = functions.get(connection, function_id)
        if function is None:
            raise FunctionNotRegisteredError(function_id)
        return read_spec(function.config)

    def _tell(self, function_id: str, policy: str, config: str | None) -> bool:
        """Tell Redis, which may call jobs that waited; if this process dies here, a worker's refresh does it."""
        admission = self._runtime.admission
        try:
            admission.gate.client.ping()
            hints.send(self._runtime, admission.changed(function_id, policy, config))
        except redis.RedisError:
            return False
        return True


def _in_code(spec: FunctionSpec) -> dict[str, dict[str, float | bool]]:
    said = policies.definitions(spec)
    if spec.rate_limit is not None:
        said[policies.RATE_LIMIT] = {"limit": spec.rate_limit.limit, "period": spec.rate_limit.period_ms}
    return said


def _checked(
    policy: str, said: Mapping[str, float], limit: float, period_ms: int | None, burst: int | None
) -> dict[str, float]:
    """Give what is to hold instead of what the code says, as the scripts read it."""
    least = 1 if policy == policies.RATE_LIMIT else 0
    if not math.isfinite(limit) or limit < least:
        raise LimitInvalidError(f"--limit: must be a number from {least} up, not {limit}")
    if policy != policies.BUDGET and limit != int(limit):
        raise LimitInvalidError(f"--limit: {policy} takes a whole number, not {limit}")
    config = {**said, "limit": limit if policy == policies.BUDGET else int(limit)}
    if period_ms is not None:
        if policy not in _LONGEST_MS:
            raise LimitInvalidError(f"--period: {policy} has none that can be set; a throttle or rate limit has")
        if not _SHORTEST_MS <= period_ms <= _LONGEST_MS[policy]:
            longest = format_duration(_LONGEST_MS[policy])
            raise LimitInvalidError(f"--period: must be 1s to {longest}, not {format_duration(period_ms)}")
        config["period"] = period_ms
    if burst is not None:
        if policy != "throttle":
            raise LimitInvalidError(f"--burst: {policy} has none; a throttle has")
        if burst < 0:
            raise LimitInvalidError(f"--burst: must be 0 or more, not {burst}")
        config["burst"] = burst
    return config
