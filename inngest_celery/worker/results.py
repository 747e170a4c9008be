"""What Celery's result backend has of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

import sqlalchemy as sa
from celery.backends.base import DisabledBackend

from inngest_celery.store import schema
from inngest_celery.worker.runtime import Runtime


def forget(runtime: Runtime, run_ids: Sequence[str], *, steps: bool = False) -> None:
    """Delete what ``AsyncResult`` of these runs would find, by their ids or those of calls that they answer.

    It may be repeated, and comes before the rows go that say which there are.

    Args:
        steps: also of the tasks that have carried out their steps.

    Raises:
        redis.RedisError, OperationalError, OSError: the backend does not answer.
    """
    backend = runtime.app.backend
    if isinstance(backend, DisabledBackend) or not run_ids:
        return
    # Some keep nothing that could be forgotten.
    with suppress(NotImplementedError):
        for task_id in sorted(_task_ids(runtime, run_ids, steps)):
            backend.forget(task_id)


def _task_ids(runtime: Runtime, run_ids: Sequence[str], steps: bool) -> set[str]:
    run, found = schema.run, set(run_ids)
    called = sa.select(run.c.celery).where(run.c.id.in_(run_ids), run.c.celery.is_not(None))
    with runtime.database.autocommit() as connection:
        found.update(str(json.loads(text)["task_id"]) for text in connection.execute(called).scalars())
        for table in (schema.step, schema.attempt) if steps else ():
            query = sa.select(table.c.task_id).where(table.c.run_id.in_(run_ids), table.c.task_id.is_not(None))
            found.update(connection.execute(query).scalars())
    return found
