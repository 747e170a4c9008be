"""Rate limits on the worker's side: asked before an event is routed, and told anew when Redis has forgotten them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inngest_celery.engine import policies, waiting
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.spec import FunctionSpec
from inngest_celery.flow.gate import Lost
from inngest_celery.flow.rates import RateLimits
from inngest_celery.store import limits
from inngest_celery.worker.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Rates:
    """Tells which events are within their function's rate limit."""

    runtime: Runtime

    def admits(self, spec: FunctionSpec, arrival: Arrival) -> bool:
        """Tell whether an event may start a run of a function.

        Raises:
            SettingsError: there is no Redis (code ``redis_missing``).
            redis.RedisError: Redis does not answer.
        """
        return self._admits(spec, policies.rate_limit_of(spec, arrival.variable), arrival.event.id)

    def admits_call(self, spec: FunctionSpec, call: Mapping[str, object], task_id: str) -> bool:
        """Tell whether a call of a limited task may be carried out. What Redis forgets of calls, nobody else knows.

        Raises:
            SettingsError: there is no Redis (code ``redis_missing``).
            redis.RedisError: Redis does not answer.
        """
        return self._admits(spec, policies.call_rate_limit_of(spec, call), task_id)

    def _admits(self, spec: FunctionSpec, resource: str | None, about: str) -> bool:
        if spec.rate_limit is None or resource is None:
            return True
        gate, now = self.runtime.admission.gate, self.runtime.clock.now()
        kept = RateLimits(gate.client, gate.prefix)
        try:
            return kept.admits(spec.id, spec.rate_limit, resource, about, now)
        except Lost:
            self._restore(kept, spec, now)
            return kept.admits(spec.id, spec.rate_limit, resource, about, now)

    def _restore(self, kept: RateLimits, spec: FunctionSpec, now: int) -> None:
        assert spec.rate_limit is not None
        with self.runtime.database.autocommit() as connection:
            started = limits.events_started_since(connection, spec.id, now - spec.rate_limit.period_ms)
            overrides = limits.set_limits(connection, now)
        for each in overrides:
            if (each.function_id, each.policy) == (spec.id, policies.RATE_LIMIT):
                kept.set(spec.id, each.config, now)
        starts = []
        for event, created_at in started:
            resource = policies.rate_limit_of(spec, waiting.as_variable(event))
            if resource is not None:
                starts.append((resource, created_at))
        kept.restore(spec.id, spec.rate_limit, starts, now)
