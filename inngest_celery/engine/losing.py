"""Attempts that ended with the process that made them: recorded by whoever has seen it end."""

from __future__ import annotations

from inngest_celery.engine.decide import decide, resumption
from inngest_celery.engine.report import Failure, Outcome, Report
from inngest_celery.engine.retries import is_final
from inngest_celery.engine.turn import Turn
from inngest_celery.opcodes import Opcode
from inngest_celery.store.changes import Changes
from inngest_celery.store.rows import JobKind


def stopped(turn: Turn, failure: Failure) -> Changes:
    """Count an attempt as failed that was stopped from outside; the function is not there to go on.

    Args:
        turn: the job that was in hand.
        failure: why it was stopped.
    """
    job = turn.job
    if job.kind is not JobKind.STEP:
        # It was the function's own code.
        return decide(turn, Report(failure=failure))
    final = is_final(failure, job.attempt, turn.spec.max_attempts)
    outcome = Outcome(
        key=job.key,
        name=job.name,
        op=Opcode.STEP_RUN,
        attempt=job.attempt,
        memo=failure.to_memo() if final else None,
        failure=failure,
        started_at=turn.asked_at,
        ended_at=turn.now,
    )
    # Others may be at work on the run.
    changes = decide(turn, Report(outcomes=[outcome], parallel=True))
    if final:
        changes.again = resumption(turn)
    return changes
