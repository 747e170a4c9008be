"""``revoke`` for runs: whoever has called a function as a task ends its run as they end a task.

Celery sends a revocation to every worker. Each keeps the ids, and drops what comes under them later; so a call that is
a message still never starts. A call that has become a run is looked for in the database, by each worker that hears of
it: two queries on indexes, in a thread, for all that a command names. Which of them cancels the run does not matter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from typing import Any

import redis
from celery.utils.functional import maybe_list
from celery.worker.control import Panel

from inngest_celery.store import called
from inngest_celery.store import jobs as job_rows
from inngest_celery.store.conflicts import retried
from inngest_celery.worker.chores import NotYet
from inngest_celery.worker.routing import router_of
from inngest_celery.worker.runs import RunEndedError, RunNotFoundError, Runs
from inngest_celery.worker.runtime import Runtime, runtime_of

logger = logging.getLogger(__name__)

REASON = "revoked"
_AT_ONCE = 500
_OURS = "inngest_revokes"


def listen() -> None:
    """Let this worker's ``revoke`` and ``terminate`` commands concern runs, too."""
    for name, ids_at in (("revoke", 0), ("terminate", 1)):
        handle = Panel.data[name]
        if not hasattr(handle, _OURS):
            Panel.data[name] = _with_runs(handle, ids_at)


def _with_runs(handle: Callable[..., Any], ids_at: int) -> Callable[..., Any]:
    @wraps(handle)
    def handle_with_runs(state: Any, *args: Any, **kwargs: Any) -> Any:
        answer = handle(state, *args, **kwargs)
        named = kwargs["task_id"] if "task_id" in kwargs else args[ids_at] if len(args) > ids_at else ()
        forget(runtime_of(state.app), [str(each) for each in maybe_list(named) or ()])
        return answer

    setattr(handle_with_runs, _OURS, True)
    return handle_with_runs


def forget(runtime: Runtime, task_ids: Sequence[str]) -> None:
    """Have the runs of these calls cancelled, soon."""
    for first in range(0, len(task_ids), _AT_ONCE):
        if runtime.chores is not None:
            runtime.chores.add(partial(revoke, runtime, task_ids[first : first + _AT_ONCE]))


def revoke(runtime: Runtime, task_ids: Sequence[str]) -> None:
    """Cancel the runs of these calls.

    Raises:
        NotYet: one of them is being routed just now.
    """
    unrouted = _unrouted(runtime, task_ids)
    routed = [event_id for event_id in unrouted if _route(runtime, event_id)]
    with runtime.database.autocommit() as connection:
        found = called.unended(connection, task_ids)
    cancelled = list(_cancelled(runtime, found))
    if cancelled:
        logger.info("Revoked: %s", ", ".join(cancelled), extra={"action": "runs_revoked", "runs": cancelled})
    if len(routed) < len(unrouted):
        raise NotYet


@retried
def _unrouted(runtime: Runtime, task_ids: Sequence[str]) -> list[str]:
    with runtime.database.autocommit() as connection:
        return called.unrouted(connection, task_ids)


def _route(runtime: Runtime, event_id: str) -> bool:
    """Route a call's event here, and tell nobody to begin; false if another worker routes it, or it cannot be now."""
    now, settings = runtime.clock.now(), runtime.settings
    until = now + settings.lease_ms
    claimed = job_rows.claim(runtime.database, event_id, "route", owner=runtime.worker_name, now=now, until=until)
    if claimed is None or claimed.event is None:
        return False
    try:
        router_of(runtime, may_keep=lambda function: False).route(claimed.job, claimed.event)
    except redis.RedisError:
        # Whether a rate limit lets it through cannot be told now.
        job_rows.put_back(runtime.database, claimed.job, now + settings.hint_timeout_ms)
        return False
    return True


def _cancelled(runtime: Runtime, run_ids: Iterable[str]) -> Iterable[str]:
    runs = Runs(runtime.app)
    for run_id in run_ids:
        try:
            runs.cancel(run_id, REASON)
        except (RunEndedError, RunNotFoundError):
            continue
        yield run_id
