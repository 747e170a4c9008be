"""The Redis that keeps limits: that there is one, that it answers, and that it forgets nothing by itself."""

from __future__ import annotations

from collections.abc import Iterator

import redis
from celery.app.utils import sanitize_url

from inngest_celery.cli.checks.findings import Deployment, Finding, problem, warning
from inngest_celery.engine import policies
from inngest_celery.engine.spec import read_spec
from inngest_celery.flow import sentinels
from inngest_celery.flow.gate import connect

_KEEPS_ALL = "noeviction"


def flow_redis(deployment: Deployment) -> Iterator[Finding]:
    rows = {**deployment.registered, **deployment.declared}.values()
    limited = sorted(row.id for row in rows if policies.needs_redis(read_spec(row.config)))
    if not limited:
        return
    url = deployment.runtime.redis_url
    if url is None:
        yield problem(
            "redis_missing",
            f"{', '.join(limited)}: concurrency, throttle and rate limits are kept in Redis, and the broker is none.",
            "Set inngest_redis_url to a Redis or Valkey. Workers do not start without.",
        )
        return
    try:
        with connect(url) as client:
            evicts = client.config_get("maxmemory-policy")
    except redis.ResponseError:
        return  # Some hosts let nobody read the configuration.
    except redis.RedisError as error:
        yield problem(
            "redis_unreachable",
            f"The Redis that keeps the limits of {', '.join(limited)} does not answer ({_shown(url)}): {error}",
            "Start it, or correct inngest_redis_url. What it limits waits until then; the rest goes on.",
        )
        return
    policy = str(evicts.get("maxmemory-policy", _KEEPS_ALL))
    if policy.startswith("allkeys"):
        yield warning(
            "redis_evicts",
            f"The Redis that keeps limits may throw any key away when it is full (maxmemory-policy {policy}).",
            f"Set maxmemory-policy to {_KEEPS_ALL}, or use a Redis of its own: inngest_redis_url.",
        )


def _shown(url: str) -> str:
    return sentinels.shown(url) if url.startswith(sentinels.SCHEME) else str(sanitize_url(url))
