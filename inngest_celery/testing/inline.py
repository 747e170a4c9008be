"""Run functions in this process, without a broker or a worker, and travel in time while they sleep.

It is the real engine on a real database (SQLite in a temporary file unless told otherwise). Only the messages are
missing: what is due is looked up in the database and done here, one job after the other.

There is no Redis either: concurrency, throttles, rate limits and budgets hold nothing up here. Singletons, debounces,
batches, idempotency and paused functions are as they are in workers.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from celery import Celery

from inngest_celery.clock import SystemClock
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.function import Function
from inngest_celery.store import jobs, schema
from inngest_celery.worker.outbox import outbox
from inngest_celery.worker.registry import functions_of, synchronise
from inngest_celery.worker.runs import RunInfo, Runs
from inngest_celery.worker.runtime import runtime_of
from inngest_celery.worker.tasks import perform_claimed

_TASK_IDS = itertools.count(1)


class TravellingClock:
    """The machine's clock plus an offset of this process's own."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self._offset = 0

    def now(self) -> int:
        return self._system.now() + self._offset

    def advance(self, milliseconds: int) -> None:
        self._offset += milliseconds


class Inline:
    """Runs the functions of a Celery app in this process.

    Args:
        app: the Celery app that the functions are defined on.
        database_url: an empty or migrated database; a temporary SQLite file, if left out.
        functions: those to register; all of the app, if left out.

    Example:
        >>> import inngest_celery as inngest
        >>> app = Celery("example")
        >>> client = inngest.Inngest(app_id="shop", celery=app)
        >>> @client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="user/joined"))
        ... async def greet(ctx: inngest.Context) -> str:
        ...     await ctx.step.sleep("a while", timedelta(days=3))
        ...     return f"hello {ctx.event.data['name']}"
        >>> inline = Inline(app)
        >>> [run] = inline.send(inngest.Event(name="user/joined", data={"name": "Ada"}))
        >>> inline.advance(timedelta(days=3))
        >>> inline.runs.get(run.id).output
        'hello Ada'

    Mirrors https://www.inngest.com/docs/reference/testing
    """

    def __init__(
        self, app: Celery, *, database_url: str | None = None, functions: Sequence[Function[Any]] | None = None
    ) -> None:
        self._runtime = runtime_of(app)
        self._runtime.sends_hints = False
        self.clock = TravellingClock()
        self._runtime.__dict__["clock"] = self.clock
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        if database_url is None:
            self._directory = tempfile.TemporaryDirectory()
            database_url = f"sqlite:///{Path(self._directory.name) / 'inline.db'}"
        app.conf.inngest_database_url = database_url
        schema.metadata.create_all(self._runtime.database.engine)
        synchronise(app, functions if functions is not None else functions_of(app).values())
        self.runs = Runs(app)
        self._app = app

    def send(self, *events: Event) -> list[RunInfo]:
        """Send events and do all that is due; give the runs that they started, by event and by function."""
        event_ids = outbox(self._app).send(events)
        self.drain()
        return [run for event_id in event_ids for run in self.runs.of_event(event_id)]

    def advance(self, by: timedelta) -> None:
        """Let time pass, from one due job to the next, and do each at its time."""
        end = self.clock.now() + round(by.total_seconds() * 1000)
        self.drain()
        while (due_at := self._next_due()) is not None and due_at <= end:
            self.clock.advance(max(due_at - self.clock.now(), 0))
            self.drain()
        self.clock.advance(max(end - self.clock.now(), 0))

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
        now = self.clock.now()
        table = schema.job
        free = sa.or_(table.c.leased_until.is_(None), table.c.leased_until <= now)
        query = sa.select(table.c.subject_id, table.c.key).where(table.c.due_at <= now, free)
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

    def close(self) -> None:
        """Close the connections to the database, and remove it if it was a temporary one."""
        self._runtime.database.dispose()
        if self._directory is not None:
            self._directory.cleanup()

    def _next_due(self) -> int | None:
        """Give when the next job can be done: when it is due, and no lease is on it any more."""
        table = schema.job
        free_at = sa.case((table.c.leased_until > table.c.due_at, table.c.leased_until), else_=table.c.due_at)
        with self._runtime.database.autocommit() as connection:
            return connection.execute(sa.select(sa.func.min(free_at))).scalar_one_or_none()
