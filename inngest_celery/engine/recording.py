"""From an attempt that succeeded, or failed for good, to the row that the run remembers."""

from __future__ import annotations

from inngest_celery.engine import prompts
from inngest_celery.engine.report import Outcome
from inngest_celery.store.rows import Step


def step_of(outcome: Outcome, run_id: str, *, queued_at: int, worker: str | None) -> Step:
    """Give the row of a step that has an outcome.

    Args:
        outcome: its memo is there.
        run_id: the run.
        queued_at: when its job was due, or its wait planned, in milliseconds.
        worker: the worker that is told of it.
    """
    assert outcome.memo is not None
    return Step(
        run_id=run_id,
        id=outcome.key,
        name=outcome.name,
        op=outcome.op.value,
        memo=outcome.memo,
        failed=outcome.failure is not None,
        attempt=outcome.attempt,
        queued_at=queued_at,
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        worker=worker,
        task_id=outcome.task_id,
        waited=None if outcome.asked is None else prompts.of_step(outcome.asked),
    )
