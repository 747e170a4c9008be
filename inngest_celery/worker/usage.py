"""Under which keys of a limit somebody works, waits or has spent something."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import redis

from inngest_celery.engine import policies, waiting
from inngest_celery.engine.spec import FunctionSpec
from inngest_celery.flow.gate import Lost
from inngest_celery.flow.inspect import Busy, busy_keys, states_of
from inngest_celery.flow.places import name_of
from inngest_celery.settings import SettingsError
from inngest_celery.store import limits
from inngest_celery.store.rows import Event
from inngest_celery.worker.runtime import Runtime


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """One key of a limit, as it is used.

    Attributes:
        value: of the key, as JSON text; ``None`` if the limit has no key, or if nobody is there to tell it by.
        taken: places that are taken, tokens that are gone, or what is spent.
        waiting: jobs of the function that wait for it.
        next_at: when time makes room, in milliseconds since 1970, where time does that.
    """

    value: str | None
    taken: float
    waiting: int
    next_at: int | None


class Usage:
    """Looks up the keys of limits, the functions of one tag together.

    Args:
        runtime: of the app.
        most: how many keys of a limit to give.
        now: milliseconds.
    """

    def __init__(self, runtime: Runtime, most: int, now: int) -> None:
        self._runtime = runtime
        self._most = most
        self._now = now
        self._busy: dict[str, list[Busy]] = {}

    def of(self, spec: FunctionSpec, policy: str) -> list[KeyInUse] | None:
        """Give the busiest keys of a limit; ``None`` where Redis does not tell.

        A rate limit does not list its keys: nobody works or waits under them.
        """
        if policy == policies.RATE_LIMIT:
            return []
        try:
            return self._look_up(spec, policy)
        except (redis.RedisError, Lost, SettingsError):
            return None

    def _look_up(self, spec: FunctionSpec, policy: str) -> list[KeyInUse]:
        tag, gate = policies.tag_of(spec), self._runtime.admission.gate
        if tag not in self._busy:
            self._busy[tag] = busy_keys(gate, tag)
        found = {
            each.resource: each for each in self._busy[tag] if (each.function_id, each.policy) == (spec.id, policy)
        }
        if policies.key_of(spec, policy) is None:
            # It has one, used or not.
            resource = name_of(policies.resource_without_key(spec, policy))
            found.setdefault(resource, Busy(spec.id, policy, resource))
        first = sorted(found.values(), key=lambda each: (-each.waiting, -each.out, each.resource))[: self._most]
        if policy == policies.BUDGET:
            first += self._spent(spec, {each.resource for each in first})
        states = states_of(gate, tag, [(name_of(spec.id), policy, each.resource) for each in first], self._now)
        values = self._values(spec, policy, first)
        used = [
            KeyInUse(values.get(each.resource), state.taken, each.waiting, state.next_at)
            for each, state in zip(first, states, strict=True)
        ]
        return sorted(used, key=lambda each: (-each.waiting, -each.taken))[: self._most]

    def _spent(self, spec: FunctionSpec, others: set[str]) -> list[Busy]:
        """Give the budgets of which most is spent, as the database has it, besides others."""
        assert spec.budget is not None
        since = self._now - spec.budget.period_ms
        with self._runtime.database.autocommit() as connection:
            spent = limits.most_spent(connection, spec.id, since, self._most)
        named = [(name_of(budget), run_id) for budget, _, run_id in spent]
        return [Busy(spec.id, policies.BUDGET, name, job=run_id) for name, run_id in named if name not in others]

    def _values(self, spec: FunctionSpec, policy: str, keys: Sequence[Busy]) -> dict[str, str]:
        """Give the values of keys by resource, each by the event of a run that has it: Redis knows its hash only."""
        key = policies.key_of(spec, policy)
        run_ids = {each.resource: each.job.partition("/")[0] for each in keys if each.job}
        if key is None or not run_ids:
            return {}
        with self._runtime.database.autocommit() as connection:
            started_by = limits.starters(connection, set(run_ids.values()))
        return {
            resource: _value(key, started_by[run_id]) for resource, run_id in run_ids.items() if run_id in started_by
        }


def _value(key: str, event: Event) -> str:
    value = policies.value_of(key, {"event": waiting.as_variable(event)})
    return json.dumps(value, default=str, ensure_ascii=False)
