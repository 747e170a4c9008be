"""Batches: events are collected, and start one run together."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from inngest_celery.engine import expressions, pending
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.lifecycle import INVOKED, TIMER
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.engine.starting import start
from inngest_celery.engine.terms import Terms
from inngest_celery.store import events, jobs
from inngest_celery.store.changes import Applied
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import JobKind

# A batch with more data than this starts, whether it is full or not.
MAX_BYTES = 10 * 1024 * 1024


def takes(spec: FunctionSpec, arrival: Arrival) -> bool:
    """Tell whether an event goes into a batch; else it gets a run of its own."""
    if spec.batch is None or arrival.event.name in (TIMER, INVOKED):
        return False
    condition = spec.batch.condition
    return condition is None or expressions.compile(condition).matches({"event": arrival.variable})


def add(connection: sa.Connection, terms: Terms, function: FunctionRow, arrival: Arrival, now: int) -> Applied:
    """Put an event into the batch that is open for its key, and start the run if that is full."""
    policy = read_spec(function.config).batch
    assert policy is not None
    event = arrival.event
    opts = {"event": event.id, "size": 0, "bytes": 0}
    due_at = now + policy.timeout_ms
    job, noted, new = pending.open_or_join(
        connection, terms, function, JobKind.BATCH, policy.key, arrival, opts, now, due_at
    )
    if not new and events.has_starter(connection, noted["run"], event):
        return Applied()
    events.add_starter(connection, noted["run"], event.id)
    noted["size"] += 1
    noted["bytes"] += len(event.data.encode())
    if noted["size"] < policy.max_size and noted["bytes"] <= MAX_BYTES:
        pending.note(connection, job, noted)
        return Applied()
    jobs.end(connection, job)
    return begin(connection, terms, function, noted, now)


def begin(connection: sa.Connection, terms: Terms, function: FunctionRow, opts: dict[str, Any], now: int) -> Applied:
    """Start the run of what was collected. Its first event is what its expressions see."""
    first = events.first_starter(connection, opts["run"])
    if first is None:
        return Applied()
    return start(connection, terms, function, Arrival(first), now, run_id=opts["run"], batch=opts["size"])
