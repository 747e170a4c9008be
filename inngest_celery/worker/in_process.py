"""Doing jobs in this process, without messages: what is due is looked up in the database and done here."""

from __future__ import annotations

import itertools

import sqlalchemy as sa

from inngest_celery.store import jobs, schema
from inngest_celery.store.rows import JobKind
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.tasks import perform_claimed

_TASK_IDS = itertools.count(1)


class InProcess:
    """Does the jobs in a runtime's database, one after the other.

    Args:
        runtime: whose database and clock.
        leave: kinds of jobs that are left alone.
    """

    def __init__(self, runtime: Runtime, leave: frozenset[JobKind] = frozenset()) -> None:
        self._runtime = runtime
        self._mine = schema.job.c.kind.not_in([kind.value for kind in leave])

    def drain(self, limit: int = 100_000) -> int:
        """Do what is due until nothing is; give how many jobs that were.

        Raises:
            RuntimeError: it does not end.
        """
        for count in range(limit):
            if not self.step():
                return count
        raise RuntimeError(f"{limit} jobs were done and more are due: a function that starts itself?")

    def step(self) -> bool:
        """Do the one job that is due the longest; false if none is."""
        now = self._runtime.clock.now()
        table = schema.job
        free = sa.or_(table.c.leased_until.is_(None), table.c.leased_until <= now)
        query = sa.select(table.c.subject_id, table.c.key).where(table.c.due_at <= now, free, self._mine)
        with self._runtime.database.autocommit() as connection:
            row = connection.execute(query.order_by(table.c.due_at, table.c.created_at, table.c.subject_id)).first()
        if row is None:
            return False
        until = now + self._runtime.settings.lease_ms
        claimed = jobs.claim(
            self._runtime.database, row.subject_id, row.key, owner=self._runtime.worker_name, now=now, until=until
        )
        if claimed is not None:
            perform_claimed(self._runtime, claimed, f"inline-{next(_TASK_IDS)}")
        return True

    def next_due(self) -> int | None:
        """Give when the next job can be done: when it is due, and no lease is on it any more."""
        table = schema.job
        free_at = sa.case((table.c.leased_until > table.c.due_at, table.c.leased_until), else_=table.c.due_at)
        with self._runtime.database.autocommit() as connection:
            return connection.execute(sa.select(sa.func.min(free_at)).where(self._mine)).scalar_one_or_none()
