"""Which limits hold for the jobs of a run, under which keys, and their place in line. Decided once, when it starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

from inngest_celery.engine import expressions
from inngest_celery.engine.spec import Concurrency, FunctionSpec

# The official documentation promises so many seconds either way.
MOST_PRIORITY_S = 600
# Limits that several functions share live together, for one script to see them all.
SHARED = "*"
THROTTLE = "throttle"
BUDGET = "budget"
RATE_LIMIT = "rate_limit"


def flow_of(spec: FunctionSpec, event: Mapping[str, object], created_at: int) -> str | None:
    """Give what a run's jobs carry for flow control, as JSON text; ``None`` where nothing limits them.

    Args:
        spec: the function.
        event: the run's first event, as expressions see it.
        created_at: when the run was made, in milliseconds.

    Returns:
        ``{"tag": …, "score": …, "steps": [[policy, resource], …], "starts": [[policy, resource], …]}``: the limits
        that every job of the run needs a place in, and those that only its start does. The lower score goes first.

    Example:
        >>> spec = FunctionSpec(
        ...     "shop-pay", "pay", 4, (), (), (), None, None, concurrency=(Concurrency("concurrency.0", 5, None, "fn"),)
        ... )
        >>> flow_of(spec, {"data": {}}, 1000)
        '{"tag":"shop-pay","score":1000,"steps":[["concurrency.0","shop-pay:concurrency.0"]],"starts":[]}'
    """
    limits = (*spec.concurrency, *spec.run_concurrency)
    if not limits and spec.throttle is None and spec.budget is None:
        return None
    variables = {"event": event}
    starts = [
        *_throttle(spec, variables),
        *([each.policy, _resource(spec, each, variables)] for each in spec.run_concurrency),
    ]
    steps = _concurrency(spec, variables)
    if spec.budget is not None:
        steps.append([BUDGET, _own(spec, BUDGET, spec.budget.key, variables)])
    return _as_text(spec, created_at - 1000 * priority_of(spec, event), steps, starts)


def call_flow_of(spec: FunctionSpec, call: Mapping[str, object], now: int) -> str | None:
    """Give what limits one attempt of a Celery task, as :func:`flow_of` does for a run; ``None`` if nothing does.

    Args:
        spec: the task's limits.
        call: ``args``, ``kwargs`` and ``task``, as expressions see them.
        now: milliseconds. Who comes first goes first.
    """
    # Each attempt does again what is limited, and so needs all of it: a task has no start apart from its attempts.
    needs = [*_concurrency(spec, call), *_throttle(spec, call)]
    return _as_text(spec, now, needs, []) if needs else None


def tag_of(spec: FunctionSpec) -> str:
    """Give what the keys of a function's limits have in common: its id, or one for all if it shares a limit."""
    shares = any(each.scope != "fn" for each in (*spec.concurrency, *spec.run_concurrency))
    return SHARED if shares or spec.shared is not None else spec.id


def definitions(spec: FunctionSpec) -> dict[str, dict[str, float | bool]]:
    """Give a function's limits by policy, as the scripts read them; times are milliseconds. Empty if it has none."""
    found: dict[str, dict[str, float | bool]] = {
        each.policy: {"limit": each.limit} for each in (*spec.concurrency, *spec.run_concurrency)
    }
    if spec.throttle is not None:
        found[THROTTLE] = {
            "limit": spec.throttle.limit,
            "period": spec.throttle.period_ms,
            "burst": spec.throttle.burst,
        }
    if spec.budget is not None:
        stop = spec.budget.mode == "stop"
        found[BUDGET] = {"limit": spec.budget.limit, "period": spec.budget.period_ms, "stop": stop}
    return found


def needs_redis(spec: FunctionSpec) -> bool:
    """Tell whether something limits a function that is kept in Redis."""
    return spec.rate_limit is not None or bool(definitions(spec))


def key_of(spec: FunctionSpec, policy: str) -> str | None:
    """Give the key expression of one of a function's limits; ``None`` where it has none, or there is no such limit."""
    for each in (*spec.concurrency, *spec.run_concurrency):
        if each.policy == policy:
            return each.key
    named = {THROTTLE: spec.throttle, BUDGET: spec.budget, RATE_LIMIT: spec.rate_limit}.get(policy)
    return None if named is None else named.key


def resource_without_key(spec: FunctionSpec, policy: str) -> str:
    """Give what a limit without a key is kept under, and where those with a key begin: its function, or a shared name.

    Budgets and rate limits are not shared: what counts against them is recorded for one function.
    """
    shared = spec.shared is not None and policy not in (BUDGET, RATE_LIMIT)
    return f"shared:{spec.shared}:{policy}" if shared else f"{spec.id}:{policy}"


def rate_limit_of(spec: FunctionSpec, event: Mapping[str, object]) -> str | None:
    """Give the rate limit that an event counts against; ``None`` where there is none, or its key is false."""
    return call_rate_limit_of(spec, {"event": event})


def call_rate_limit_of(spec: FunctionSpec, variables: Mapping[str, object]) -> str | None:
    """Give the rate limit that a task's call counts against, as :func:`rate_limit_of` does for an event."""
    if spec.rate_limit is None:
        return None
    if spec.rate_limit.key is not None and value_of(spec.rate_limit.key, variables) is False:
        return None
    return _own(spec, RATE_LIMIT, spec.rate_limit.key, variables)


@lru_cache(maxsize=4096)
def budget_of(flow: str | None) -> str | None:
    """Give the budget that the steps of a run count against, of what its jobs carry.

    Example:
        >>> budget_of('{"tag":"shop-pay","score":1000,"steps":[["budget","shop-pay:budget"]],"starts":[]}')
        'shop-pay:budget'
    """
    if flow is None:
        return None
    return next((resource for policy, resource in json.loads(flow)["steps"] if policy == BUDGET), None)


def priority_of(spec: FunctionSpec, event: Mapping[str, object]) -> int:
    """Give the seconds by which a run goes ahead of others; 0 where the expression gives no whole number."""
    if spec.priority is None:
        return 0
    value = value_of(spec.priority, {"event": event})
    if isinstance(value, float) and value.is_integer():
        # To JSON, 60.0 and 60 are one number.
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return max(-MOST_PRIORITY_S, min(MOST_PRIORITY_S, value))


def value_of(expression: str, variables: Mapping[str, object], default: object = None) -> object:
    """Evaluate a key; ``default`` where it cannot be."""
    try:
        return expressions.compile(expression, names=frozenset(variables)).evaluate(variables)
    except expressions.EvaluationError:
        return default


def digest(value: object) -> str:
    """Give the short hash that stands for a key's value. Text is itself, everything else is what JSON makes of it."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


Needs: TypeAlias = list[list[str]]


def _concurrency(spec: FunctionSpec, variables: Mapping[str, object]) -> Needs:
    # Those with a key come first: whoever is over its own limit must not stand in everybody's way. Among them there is
    # one order for all functions, so that no two that share limits give way to each other.
    ordered = [(each.key is None, _resource(spec, each, variables), each.policy) for each in spec.concurrency]
    return [[policy, resource] for _, resource, policy in sorted(ordered)]


def _throttle(spec: FunctionSpec, variables: Mapping[str, object]) -> Needs:
    if spec.throttle is None:
        return []
    return [[THROTTLE, _own(spec, THROTTLE, spec.throttle.key, variables)]]


def _as_text(spec: FunctionSpec, score: int, steps: Needs, starts: Needs) -> str:
    flow = {
        "tag": tag_of(spec),
        "score": score,
        # Two entries may come to the same: one place is enough.
        "steps": list({resource: [policy, resource] for policy, resource in steps}.values()),
        "starts": starts,
    }
    return json.dumps(flow, separators=(",", ":"))


def _resource(spec: FunctionSpec, limit: Concurrency, variables: Mapping[str, object]) -> str:
    if limit.scope == "fn":
        return _own(spec, limit.policy, limit.key, variables)
    assert limit.key is not None
    # Shared by whoever writes the same expression and comes to the same value.
    level = limit.policy.partition(".")[0]
    return f"{limit.scope}:{level}:{digest(limit.key)}:{digest(value_of(limit.key, variables))}"


def _own(spec: FunctionSpec, policy: str, key: str | None, variables: Mapping[str, object]) -> str:
    name = resource_without_key(spec, policy)
    # Where it is shared, by the key's value: what a function reads as event.data.customer may be a task's args[0].
    return name if key is None else f"{name}:{digest(value_of(key, variables))}"
