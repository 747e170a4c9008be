"""Who holds places of limits, and who waits for them: by function and limit, never by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import redis
from prometheus_client.core import GaugeMetricFamily, Metric

from inngest_celery.engine import policies
from inngest_celery.engine.spec import read_spec
from inngest_celery.flow.inspect import busy_keys
from inngest_celery.store.functions import FunctionRow
from inngest_celery.worker.runtime import Runtime

# Each is a few round trips to Redis, and the limits of one function, or all that are shared.
_MOST_TAGS = 500


@dataclass(slots=True)
class _Limit:
    waiting: int = 0
    out: int = 0
    keys: int = 0


def families(runtime: Runtime, functions: Sequence[FunctionRow]) -> Iterator[Metric]:
    """Look into Redis, if anything is limited. Where it does not answer, that is what is told."""
    specs = [read_spec(row.config) for row in functions]
    limited = {(spec.id, policy): _Limit() for spec in specs for policy in policies.definitions(spec)}
    if not limited or runtime.redis_url is None:
        return
    tags = sorted({policies.tag_of(spec) for spec in specs if policies.definitions(spec)})
    up = True
    try:
        for tag in tags[:_MOST_TAGS]:
            for busy in busy_keys(runtime.admission.gate, tag):
                limit = limited.get((busy.function_id, busy.policy))
                if limit is not None:
                    limit.waiting += busy.waiting
                    limit.out += busy.out
                    limit.keys += 1
    except redis.RedisError:
        up = False
    yield GaugeMetricFamily("inngest_redis_up", "Whether the Redis that keeps limits answers.", up)
    if up:
        yield from _limits(limited)


def _limits(limited: dict[tuple[str, str], _Limit]) -> Iterator[Metric]:
    text = "Jobs under a limit: in line for it, or out, which is called or in a worker."
    jobs = GaugeMetricFamily("inngest_limit_jobs", text, labels=("fn", "policy", "state"))
    keys = GaugeMetricFamily("inngest_limit_keys", "Keys under which there are such jobs.", labels=("fn", "policy"))
    for (function_id, policy), limit in sorted(limited.items()):
        jobs.add_metric((function_id, policy, "waiting"), limit.waiting)
        jobs.add_metric((function_id, policy, "out"), limit.out)
        keys.add_metric((function_id, policy), limit.keys)
    yield jobs
    yield keys
