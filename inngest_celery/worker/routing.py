"""What this process brings to the engine: its terms for the jobs that it makes, and the router of its events."""

from __future__ import annotations

from collections.abc import Callable

from inngest_celery.engine.routing import Router, no_rate_limit
from inngest_celery.engine.terms import Terms
from inngest_celery.store.functions import FunctionRow
from inngest_celery.worker.rates import Rates
from inngest_celery.worker.runtime import Runtime


def router_of(runtime: Runtime, may_keep: Callable[[FunctionRow], bool]) -> Router:
    """Give what routes events in this process.

    Args:
        may_keep: tells whether the first step of a function's run may be taken here, at once.
    """
    return Router(
        database=runtime.database,
        clock=runtime.clock,
        terms=terms_of(runtime),
        may_keep=may_keep,
        # Where there is no broker, there is no Redis either: see testing.Inline.
        rate=Rates(runtime).admits if runtime.sends_hints else no_rate_limit,
    )


def terms_of(runtime: Runtime) -> Terms:
    """Give what this process brings to the jobs that it makes."""
    settings = runtime.settings
    return Terms(
        worker=runtime.worker_name,
        route_queue=runtime.route_queue,
        hint_ms=settings.hint_timeout_ms,
        horizon_ms=settings.horizon_ms,
        lease_ms=settings.lease_ms,
    )
