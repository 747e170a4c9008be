"""Deleting runs that have ended, with all that is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from inngest_celery.store import removing
from inngest_celery.store.conflicts import retried
from inngest_celery.worker import holding
from inngest_celery.worker.runtime import Runtime

_AT_ONCE = 50


def delete_ended(runtime: Runtime, run_ids: Sequence[str]) -> int:
    """Delete those of these runs that have ended and are not held, with their steps and attempts.

    Their events stay, and what they have cost, which counts against budgets. One whose result is still to be delivered
    to a Celery canvas stays, too. It goes on where it was if it is done again. A run that is deleted no longer keeps
    its event from starting it once more, should that be sent again within its day.

    Returns:
        How many were deleted.
    """
    parts = (run_ids[start : start + _AT_ONCE] for start in range(0, len(run_ids), _AT_ONCE))
    return sum(holding.deleting(runtime, partial(_delete, runtime, part)) for part in parts)


@retried
def _delete(runtime: Runtime, run_ids: Sequence[str]) -> int:
    with runtime.database.transaction() as connection:
        held = holding.held(connection, run_ids)
        found = removing.lock_ended(connection, [each for each in run_ids if each not in held])
        removing.runs(connection, found)
        return len(found)
