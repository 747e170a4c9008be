"""What becomes of an event at a function that it concerns: the function's policies, in their order."""

from __future__ import annotations

import sqlalchemy as sa

from inngest_celery.engine import batching, debouncing, skipping
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.spec import read_spec
from inngest_celery.engine.starting import start
from inngest_celery.engine.terms import Terms
from inngest_celery.store.changes import Applied
from inngest_celery.store.functions import FunctionRow


def accept(
    connection: sa.Connection,
    terms: Terms,
    function: FunctionRow,
    arrival: Arrival,
    now: int,
    *,
    limited: bool = False,
    run_id: str | None = None,
    keep: bool = False,
) -> Applied:
    """Skip an event, collect it, put it off, or start a run with it.

    Args:
        connection: in a transaction that has locked the topics of the function's cancellations.
        now: milliseconds.
        limited: whether the function's rate limit has refused the event.
        run_id: the id that a run of its own is to have.
        keep: whether this worker may take the run's first job at once.

    Returns:
        The jobs that follow, and the run if its first job is leased to this worker.
    """
    spec = read_spec(function.config)
    why = skipping.refusal(function)
    if why is None and batching.takes(spec, arrival):
        return batching.add(connection, terms, function, arrival, now)
    if why is None and limited:
        why = skipping.RATE_LIMITED
    if why is not None:
        return skipping.skip(connection, terms, function, arrival, now, why, run_id=run_id)
    if spec.debounce is not None:
        return debouncing.put_off(connection, terms, function, arrival, now)
    return start(connection, terms, function, arrival, now, run_id=run_id, keep=keep, at_once=True)


def asks_rate_limit(function: FunctionRow, arrival: Arrival) -> bool:
    """Tell whether an event comes to the function's rate limit. Idempotency, where it is set, takes its place."""
    spec = read_spec(function.config)
    if spec.rate_limit is None or spec.idempotency is not None or skipping.refusal(function) is not None:
        return False
    return not batching.takes(spec, arrival)


def starts_at_once(function: FunctionRow, arrival: Arrival) -> bool:
    """Tell whether an event that no rate limit refuses starts a run of its own, here and now."""
    spec = read_spec(function.config)
    return not (function.paused or spec.debounce or batching.takes(spec, arrival))
