"""A worker's turn at a run: everything a decision depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inngest_celery.engine.spec import FunctionSpec
from inngest_celery.store.rows import Event, Job, Run


@dataclass(frozen=True, slots=True)
class Turn:
    """One job in the hands of one worker.

    Attributes:
        run: the run as it was claimed.
        event: what triggered it.
        batch: all the events that started it, if they were collected; else nothing.
        job: the job, leased to this worker.
        spec: the function's configuration.
        worker: the worker's name, under which it holds leases.
        now: milliseconds.
        lease_ms: how long a lease lasts.
        hint_ms: how long a hint may stay unanswered.
        horizon_ms: how far ahead of its due time a job gets a hint.
        retry_interval_ms: a constant delay between attempts, or ``None`` for the official table.
        keep: whether this worker may take the run's next step itself.
        asked_at: when the function was last let run: an event received since then may satisfy a wait that it asked for.
        seen: how many outcomes of others it knew by then, the first ones of the run.
        route_queue: the queue of route jobs.
    """

    run: Run
    event: Event
    batch: Sequence[Event]
    job: Job
    spec: FunctionSpec
    worker: str
    now: int
    lease_ms: int
    hint_ms: int
    horizon_ms: int
    retry_interval_ms: int | None
    keep: bool
    asked_at: int
    seen: int
    route_queue: str
