"""``client.runs``: look runs up, wait for their end, cancel them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa
from celery import Celery
from sqlalchemy.exc import DBAPIError

from inngest_celery.engine.cancelling import cancel_run
from inngest_celery.engine.viewing import Eyes
from inngest_celery.store import events as event_rows
from inngest_celery.store import jobs, runs, schema
from inngest_celery.store.conflicts import retried
from inngest_celery.store.errors import is_lost
from inngest_celery.store.rows import Run, RunStatus
from inngest_celery.worker import cancelled, hints
from inngest_celery.worker.runtime import runtime_of

if TYPE_CHECKING:
    from inngest_celery.worker.why.reason import Explanation

_POLL_S = (0.01, 0.5)
_PATIENCE_S = 30.0


class RunNotFoundError(LookupError):
    """There is no such run. ``code`` is ``run_not_found``."""

    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"There is no run {run_id!r}. If that is an event's id: client.runs.of_event(event_id) gives its runs."
        )


class ManyRunsError(LookupError):
    """An event has started several runs, and one was asked for. ``code`` is ``many_runs``."""

    code = "many_runs"

    def __init__(self, event_id: str, run_ids: Sequence[str]) -> None:
        super().__init__(
            f"The event {event_id} has started {len(run_ids)} runs; name one of them: {', '.join(run_ids)}."
        )


class RunEndedError(RuntimeError):
    """The run has ended, so it cannot be cancelled. ``code`` is ``run_already_ended``."""

    code = "run_already_ended"

    def __init__(self, run_id: str, status: RunStatus) -> None:
        super().__init__(
            f"Run {run_id} has ended: it is {status.name.lower()}. Only a run that has not can be cancelled."
        )


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as it stands. Times are milliseconds since 1970.

    Attributes:
        output: the result of a completed run, the error object of a failed one; whole, whatever is masked for others.
    """

    id: str
    function_id: str
    event_id: str
    status: RunStatus
    created_at: int
    started_at: int | None
    ended_at: int | None
    output: object
    reason: str | None

    @property
    def ended(self) -> bool:
        return self.status.ended


class Runs:
    """Runs of the functions on a Celery app.

    Example: ``client.runs.wait(run_id, timeout=30).output``

    Mirrors https://www.inngest.com/docs/platform/monitor/observability-metrics
    """

    def __init__(self, app: Celery) -> None:
        self._runtime = runtime_of(app)

    def get(self, run_id: str) -> RunInfo:
        """Give a run.

        Args:
            run_id: its id, or that of an event that has started one run.

        Raises:
            RunNotFoundError: there is none with this id (yet: an event is routed a moment after it was sent).
            ManyRunsError: the event has started several.
        """
        with self._runtime.database.autocommit() as connection:
            run = runs.get(connection, run_id)
        if run is not None:
            return _info(run)
        started = self.of_event(run_id)
        if not started:
            raise RunNotFoundError(run_id)
        if len(started) > 1:
            raise ManyRunsError(run_id, [each.id for each in started])
        return started[0]

    def of_event(self, event_id: str) -> list[RunInfo]:
        """Give the runs that an event has started so far, by an id that ``send`` returned.

        That of a batch is every event's in it. That of a debounce is also that of the events which gave way to others.
        """
        with self._runtime.database.autocommit() as connection:
            return [_info(run) for run in runs.of_event(connection, event_id)]

    def list(
        self,
        *,
        status: RunStatus | None = None,
        function_id: str | None = None,
        before: str | None = None,
        limit: int = 20,
    ) -> list[RunInfo]:
        """Give runs, the newest first.

        Args:
            status: only these.
            function_id: only of this function (full id).
            before: only runs older than this one: the last of the page before.
            limit: how many at most.
        """
        table = schema.run
        query = sa.select(table).order_by(table.c.id.desc()).limit(limit)
        if status is not None:
            query = query.where(table.c.status == status.value)
        if function_id is not None:
            query = query.where(table.c.function_id == function_id)
        if before is not None:
            query = query.where(table.c.id < before)
        with self._runtime.database.autocommit() as connection:
            return [_info(Run(**row._mapping)) for row in connection.execute(query)]

    def why(self, run_id: str, timeout: float = 1.0) -> Explanation:
        """Say what a run waits for, and what would change that.

        It only looks: at the database, and where that matters at Redis, the broker and the workers.

        Args:
            run_id: the run, or an event that has started one run, or is still to be routed.
            timeout: seconds to wait for the answers of workers, where it matters who takes messages; 0 asks none.

        Raises:
            RunNotFoundError: there is none with this id.
            ManyRunsError: the event has started several.

        Example: ``print(client.runs.why(run_id).reasons[0].text)``
        """
        from inngest_celery.worker.why import explain

        return explain(self._runtime, run_id, timeout)

    def wait(self, run_id: str, timeout: float | None = None) -> RunInfo:
        """Wait until a run has ended.

        A database that is restarted meanwhile is waited for, half a minute at most.

        Args:
            run_id: the run, or an event that starts one run.
            timeout: seconds; for ever, if left out.

        Raises:
            RunNotFoundError: there is none with this id.
            ManyRunsError: the event has started several.
            TimeoutError: it has not ended in time. It goes on.
            sqlalchemy.exc.DBAPIError: the database is away.
        """
        give_up_at = None if timeout is None else time.monotonic() + timeout
        pause, longest = _POLL_S
        # A database that cannot be used at the first look is a matter of its settings, more likely.
        away_until = time.monotonic()
        info: RunInfo | None = None
        while True:
            try:
                info = self._get_or_pending(run_id)
                away_until = time.monotonic() + _PATIENCE_S
            except DBAPIError as error:
                if not is_lost(error) or time.monotonic() >= away_until:
                    raise
            if info is not None and info.ended:
                return info
            if give_up_at is not None and time.monotonic() + pause > give_up_at:
                state = "not started yet" if info is None else info.status.name.lower()
                raise TimeoutError(f"run {run_id} is still {state} after {timeout} s; it goes on")
            time.sleep(pause)
            pause = min(pause * 1.5, longest)

    def _get_or_pending(self, run_id: str) -> RunInfo | None:
        """Give a run, or ``None`` while it is an event's that waits to be routed, or for others."""
        try:
            return self.get(run_id)
        except RunNotFoundError:
            with self._runtime.database.autocommit() as connection:
                if jobs.exists(connection, run_id) or event_rows.runs_of(connection, run_id):
                    return None
            # It may have been routed between the two questions.
            return self.get(run_id)

    @retried
    def cancel(self, run_id: str, reason: str = "cancelled by request") -> RunInfo:
        """Cancel a run. A step that is executing is not stopped, but what it gives is dropped.

        Raises:
            RunNotFoundError: there is none with this id.
            RunEndedError: it has ended in another way. Cancelling a cancelled run changes nothing.
        """
        runtime = self._runtime
        with runtime.database.transaction() as connection:
            due = cancel_run(
                connection,
                run_id,
                reason,
                now=runtime.clock.now(),
                hint_ms=runtime.settings.hint_timeout_ms,
                route_queue=runtime.route_queue,
            )
        info = self.get(run_id)
        if due is None and info.status is not RunStatus.CANCELLED:
            raise RunEndedError(run_id, info.status)
        if due is not None:
            cancelled.tell(runtime, run_id)
        hints.publish(runtime, due or [])
        return info


def seen(eyes: Eyes, run: RunInfo) -> RunInfo:
    """Give a run as somebody sees it."""
    failed = run.status is not RunStatus.COMPLETED
    return replace(run, output=eyes.result(deepcopy(run.output), run.function_id, failed=failed))


def _info(run: Run) -> RunInfo:
    return RunInfo(
        id=run.id,
        function_id=run.function_id,
        event_id=run.event_id,
        status=RunStatus(run.status),
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        output=json.loads(run.output) if run.output is not None else None,
        reason=run.reason,
    )
