"""A task that has let a limited job go does it itself, where it may: no message, no wait behind others in a queue."""

from __future__ import annotations

from inngest_celery.engine.time_limits import limits_of
from inngest_celery.store.functions import CALL_TASK
from inngest_celery.store.rows import Job
from inngest_celery.worker.registry import functions_of
from inngest_celery.worker.runtime import Runtime

# What Celery enforces for a message: a function with one of these needs a message of its own.
_OWN_MESSAGE = frozenset({"rate_limit", "soft_time_limit", "time_limit"})


class Handoff:
    """Takes one job at a time from those that are to be hinted, as long as the task's slice lasts.

    A place that becomes free so goes to the next in line at once, however long the queue is; and a run whose limits
    have room begins in the task that routes its event.

    Args:
        first: the job of the task itself.
    """

    def __init__(self, runtime: Runtime, first: Job) -> None:
        self._runtime = runtime
        self._queue = first.queue
        self._until = runtime.clock.now() + runtime.settings.slice_ms
        self._job: Job | None = None
        # Routing has no such limits of its own.
        self._open = not first.function_id or may_share(runtime, first.function_id, first.task_name)

    def offer(self, job: Job) -> bool:
        """Take a job that may go, if it fits and none is taken."""
        now = self._runtime.clock.now()
        fits = self._open and self._job is None and now < self._until
        if not fits or job.flow is None or job.due_at > now or job.queue != self._queue:
            return False
        if limits_of(job) is not None or not may_share(self._runtime, job.function_id, job.task_name):
            return False
        self._job = job
        return True

    def take(self) -> Job | None:
        """Give the job, once."""
        job, self._job = self._job, None
        return job


def may_share(runtime: Runtime, function_id: str, task_name: str) -> bool:
    """Tell whether this worker has a function, and may execute it in a message that is another's."""
    if task_name == CALL_TASK:
        return True
    function = functions_of(runtime.app).get(function_id)
    return function is not None and _OWN_MESSAGE.isdisjoint(function.celery_options)
