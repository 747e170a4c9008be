"""What Celery's result backend has of runs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from celery.backends.base import DisabledBackend

from inngest_celery.worker.runtime import Runtime


def forget(runtime: Runtime, task_ids: Iterable[str]) -> None:
    """Delete what ``AsyncResult`` of these runs and tasks would find. It may be repeated.

    Raises:
        redis.RedisError, OperationalError, OSError: the backend does not answer.
    """
    backend = runtime.app.backend
    if isinstance(backend, DisabledBackend):
        return
    # Some keep nothing that could be forgotten.
    with suppress(NotImplementedError):
        for task_id in task_ids:
            backend.forget(task_id)
