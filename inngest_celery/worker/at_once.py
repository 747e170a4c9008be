"""Routing an event in the process that has stored it, for a caller who is told what has become of it."""

from __future__ import annotations

import redis

from inngest_celery.store import jobs, rows
from inngest_celery.worker import hints
from inngest_celery.worker.outbox import Outbox
from inngest_celery.worker.routing import router_of
from inngest_celery.worker.runtime import Runtime


def store_and_route(runtime: Runtime, event: rows.Event) -> bool:
    """Store an event and route it; false if a worker routes it in a moment, because this process cannot.

    The event is stored with its route job, like every other. Whatever happens here after that, a sweep finds the job.
    """
    Outbox(runtime).store([event], announce=False)
    now, settings = runtime.clock.now(), runtime.settings
    until = now + settings.lease_ms
    claimed = jobs.claim(runtime.database, event.id, "route", owner=runtime.worker_name, now=now, until=until)
    if claimed is None:
        return False
    # This is no worker: it takes no step of a run.
    router = router_of(runtime, may_keep=lambda function: False)
    try:
        applied = router.route(claimed.job, event)
    except redis.RedisError:
        # Who may start cannot be told now. A worker asks again.
        jobs.put_back(runtime.database, claimed.job, now + settings.hint_timeout_ms)
        return False
    hints.publish(runtime, applied.jobs)
    return not applied.refused
