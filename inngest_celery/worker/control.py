"""``client.control``: pause functions, let them go on, drain them."""

from __future__ import annotations

import time
from typing import Literal

import sqlalchemy as sa
from celery import Celery

from inngest_celery import ids
from inngest_celery.engine import pending
from inngest_celery.store import functions, jobs, schema
from inngest_celery.store.conflicts import retried
from inngest_celery.store.functions import DRAIN
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runtime import runtime_of

_POLL_S = 0.5
# So many held runs are let go in one transaction.
_AT_ONCE = 500


class FunctionNotRegisteredError(LookupError):
    """No worker has registered a function of this id. ``code`` is ``function_not_found``."""

    code = "function_not_found"

    def __init__(self, function_id: str) -> None:
        super().__init__(
            f"No function {function_id!r} is registered. Write the full id, <app id>-<function id>; `functions list` "
            "shows all."
        )


class Control:
    """What becomes of the new runs of functions. Runs in progress always go on.

    Example: ``client.control.pause("shop-onboard", mode="hold")``

    Mirrors https://www.inngest.com/docs/guides/pause-functions
    """

    def __init__(self, app: Celery) -> None:
        self._runtime = runtime_of(app)

    def pause(self, function_id: str, mode: Literal["skip", "hold"] = "skip") -> None:
        """Let a function start no more runs until it is resumed. That outlasts deployments.

        An event that is being routed at this moment may still start one.

        Args:
            function_id: its full id.
            mode: ``skip`` records new runs as skipped, for the reason ``FunctionPaused``. ``hold`` keeps them, to start
                in their order when the function goes on; the time that a run has for its start counts from then.

        Raises:
            FunctionNotRegisteredError: there is no such function.
        """
        self._set(function_id, mode)

    def resume(self, function_id: str) -> None:
        """Let a function start runs again, those that were held first.

        Raises:
            FunctionNotRegisteredError: there is no such function.
        """
        self._release(function_id)
        self._set(function_id, None)

    def drain(self, function_id: str) -> None:
        """Let a function end what it has: its runs, held ones too, and the events that it has put off or collected.

        New runs are recorded as skipped, for the reason ``FunctionDrained``, until it is resumed.

        Raises:
            FunctionNotRegisteredError: there is no such function.
        """
        self._release(function_id)
        self._set(function_id, DRAIN)

    @retried
    def archive(self, function_id: str) -> None:
        """Let a function that is gone from the code start no more runs. The runs that it has go on.

        A worker that has it in its code registers it anew when it starts.

        Raises:
            FunctionNotRegisteredError: there is no such function, or it is archived already.
        """
        with self._runtime.database.transaction() as connection:
            if not functions.archive(connection, function_id, self._runtime.clock.now()):
                raise FunctionNotRegisteredError(function_id)

    def wait_until_idle(self, function_id: str, timeout: float | None = None) -> None:
        """Wait until a function has nothing left to do. One that is not drained may have new runs at once.

        Args:
            function_id: its full id.
            timeout: seconds; for ever, if left out.

        Raises:
            TimeoutError: it still has something to do. It goes on.
        """
        give_up_at = None if timeout is None else time.monotonic() + timeout
        while not self.is_idle(function_id):
            if give_up_at is not None and time.monotonic() + _POLL_S > give_up_at:
                raise TimeoutError(f"the function {function_id} still has runs after {timeout} s; they go on")
            time.sleep(_POLL_S)

    def is_idle(self, function_id: str) -> bool:
        """Tell whether a function has no run that has not ended, and no events put off or collected."""
        run, job = schema.run, schema.job
        open_runs = sa.select(run.c.id).where(
            run.c.status.in_([RunStatus.SCHEDULED.value, RunStatus.RUNNING.value]), run.c.function_id == function_id
        )
        put_off = sa.select(job.c.key).where(
            job.c.subject_id == ids.stand_in(function_id), job.c.kind.in_([kind.value for kind in pending.TASKS])
        )
        with self._runtime.database.autocommit() as connection:
            return not any(connection.execute(query.limit(1)).first() for query in (open_runs, put_off))

    def _release(self, function_id: str) -> None:
        """Let most of what is held go, in steps; meanwhile the function holds what is new."""
        while self._release_some(function_id) == _AT_ONCE:
            pass

    @retried
    def _release_some(self, function_id: str) -> int:
        with self._runtime.database.transaction() as connection:
            return jobs.release(connection, function_id, self._runtime.clock.now(), _AT_ONCE)

    @retried
    def _set(self, function_id: str, mode: str | None) -> None:
        with self._runtime.database.transaction() as connection:
            # Waits for whoever is holding a run just now, and keeps others from it.
            if not functions.pause(connection, function_id, mode):
                raise FunctionNotRegisteredError(function_id)
            if mode in (None, DRAIN):
                while jobs.release(connection, function_id, self._runtime.clock.now(), _AT_ONCE):
                    pass
