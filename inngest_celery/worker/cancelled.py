"""Who watches is told that a run was cancelled, by whoever has cancelled it: Flower, and traces."""

from __future__ import annotations

from inngest_celery.worker import run_events, spans
from inngest_celery.worker.runtime import Runtime


def tell(runtime: Runtime, run_id: str) -> None:
    """Tell of a run that was cancelled. Flower hears of it where this process is a worker's."""
    spans.tell_cancelled(runtime.database, run_id)
    run_events.cancelled(runtime, run_id)
