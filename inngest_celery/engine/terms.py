"""What a worker brings to every job that it makes. Times are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """The same for all that one worker does.

    Attributes:
        worker: the name under which it holds leases.
        route_queue: the queue of jobs that belong to no function's queue.
        hint_ms: how long a hint may stay unanswered.
        horizon_ms: how far ahead of its due time a job gets a hint.
        lease_ms: how long a lease lasts.
    """

    worker: str
    route_queue: str
    hint_ms: int
    horizon_ms: int
    lease_ms: int
