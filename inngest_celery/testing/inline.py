"""Run functions in this process, without a broker or a worker, and travel in time while they sleep.

It is the real engine on a real database (SQLite in a temporary file unless told otherwise). Only the messages are
missing: what is due is looked up in the database and done here, one job after the other.

There is no Redis either: concurrency, throttles, rate limits and budgets hold nothing up here. Singletons, debounces,
batches, idempotency and paused functions are as they are in workers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery

from inngest_celery.clock import TravellingClock
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.function import Function
from inngest_celery.store import schema
from inngest_celery.worker.in_process import InProcess
from inngest_celery.worker.outbox import outbox
from inngest_celery.worker.registry import functions_of, synchronise
from inngest_celery.worker.runs import RunInfo, Runs
from inngest_celery.worker.runtime import runtime_of


class Inline:
    """Runs the functions of a Celery app in this process.

    Args:
        app: the Celery app that the functions are defined on.
        database_url: an empty or migrated database; a temporary SQLite file, if left out.
        functions: those to register; all of the app, if left out.
        clock: what tells the time. If left out, time goes on by itself as well; with a :class:`StandingClock` only what
            the test says counts, however long the machine takes.

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
        self,
        app: Celery,
        *,
        database_url: str | None = None,
        functions: Sequence[Function[Any]] | None = None,
        clock: TravellingClock | None = None,
    ) -> None:
        self._runtime = runtime_of(app)
        # Of the test before this one.
        self._runtime.renew()
        self._runtime.sends_hints = False
        self.clock = clock or TravellingClock()
        self._runtime.__dict__["clock"] = self.clock
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        if database_url is None:
            self._directory = tempfile.TemporaryDirectory()
            database_url = f"sqlite:///{Path(self._directory.name) / 'inline.db'}"
        app.conf.inngest_database_url = database_url
        schema.metadata.create_all(self._runtime.database.engine)
        synchronise(self._runtime, functions if functions is not None else functions_of(app).values())
        self.runs = Runs(app)
        self._app = app
        self._jobs = InProcess(self._runtime)

    def send(self, *events: Event) -> list[RunInfo]:
        """Send events and do all that is due; give the runs that they started, by event and by function."""
        # What was sent before came before, though time may stand: a wait takes what comes in its own millisecond, too.
        self.clock.advance(1)
        event_ids = outbox(self._app).send(events)
        self.drain()
        return [run for event_id in event_ids for run in self.runs.of_event(event_id)]

    def advance(self, by: timedelta) -> None:
        """Let time pass, from one due job to the next, and do each at its time."""
        end = self.clock.now() + round(by.total_seconds() * 1000)
        self.drain()
        while (due_at := self._jobs.next_due()) is not None and due_at <= end:
            self.clock.advance(max(due_at - self.clock.now(), 0))
            self.drain()
        self.clock.advance(max(end - self.clock.now(), 0))

    def drain(self, limit: int = 100_000) -> int:
        """Do what is due until nothing is; give how many jobs that were.

        Raises:
            RuntimeError: it does not end.
        """
        return self._jobs.drain(limit)

    def step(self) -> bool:
        """Do the one job that is due the longest; false if none is."""
        return self._jobs.step()

    def close(self) -> None:
        """Close the connections to the database, and remove it if it was a temporary one."""
        self._runtime.database.dispose()
        if self._directory is not None:
            self._directory.cleanup()
