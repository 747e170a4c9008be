"""A worker's turn at a job: let the function run, write the checkpoint, and take the next step if the run is hot."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from inngest_celery.crash import crash_point
from inngest_celery.drivers.native.failures import failure_of
from inngest_celery.drivers.native.session import NativeSession, Opening
from inngest_celery.engine import policies, waiting
from inngest_celery.engine.decide import decide
from inngest_celery.engine.report import Failure, Outcome, Report
from inngest_celery.engine.spec import read_spec
from inngest_celery.engine.turn import Turn
from inngest_celery.opcodes import Opcode
from inngest_celery.sdk.errors import SuspensionSwallowedError
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.function import Function
from inngest_celery.store import checkpoint, events, rows, runs
from inngest_celery.store.changes import Applied, Changes
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import Job, JobKind
from inngest_celery.worker import bridge, hints
from inngest_celery.worker.admission import Slot
from inngest_celery.worker.leases import LeaseKeeper
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.tracing import Shown, trace_in_place

logger = logging.getLogger(__name__)

# So many workers may die at one job of a run before the run itself is held responsible.
MOST_LOST = 10

_OVER_BUDGET = Failure(
    name="BudgetExceededError",
    message="The budget of this function is spent, so the run was stopped before its next step. "
    "Raise the budget, or wait until its window has passed, and send the event again.",
    code="budget_exceeded",
    retriable=False,
)
_TIMED_OUT = {
    "name": "InngestInvokeTimeoutError",
    "error": "InngestInvokeTimeoutError",
    "message": "Timed out waiting for invoked function to complete",
    "stack": None,
}


@dataclass(slots=True)
class Executor:
    """Carries runs of native functions on.

    Attributes:
        runtime: the app's settings, clock and database.
        leases: keeps leases alive meanwhile.
    """

    runtime: Runtime
    leases: LeaseKeeper

    def carry_on(
        self, claimed: Claimed, function: Function[Any], task_id: str, slot: Slot | None = None
    ) -> BaseException | None:
        """Work on a claimed job of a run, and on the run's next steps while it may be kept.

        Args:
            claimed: the job, leased to this worker, with its run and event.
            function: the function.
            task_id: the Celery task that this happens in.
            slot: the places that are held for it, if something limits it. They are kept for all that this worker does
                for the run now.

        Returns:
            The error of the job's own attempt, if it failed, for Celery to show.
        """
        turns = _Turns(self, claimed, function, task_id, slot)
        with self.leases.hold(claimed.job, slot) as hold:
            turns.run(hold.switch)
        return turns.error


class _Turns:
    """The turns that one worker takes at one run, one after the other."""

    def __init__(
        self, executor: Executor, claimed: Claimed, function: Function[Any], task_id: str, slot: Slot | None
    ) -> None:
        assert claimed.run is not None
        assert claimed.event is not None
        runtime = executor.runtime
        self._runtime = runtime
        self._clock = runtime.clock
        self._run, self._event, self._job = claimed.run, claimed.event, claimed.job
        self._function = function
        self._task_id = task_id
        self._slot = slot
        # What a step costs may leave nothing for the next one: each is asked for.
        self._metered = policies.budget_of(claimed.job.flow) is not None
        self._spec = read_spec(function.wire_text)
        self._keep_until = self._clock.now() + runtime.settings.slice_ms
        self._hot = runtime.settings.slice_ms > 0
        self._asked_at = self._clock.now()
        self._claimed_memos = claimed.memos
        self._memos: dict[str, str] = {}
        self._own_job = claimed.job
        # While no other job of the run exists, nobody else can have planned the step that the function comes to.
        self._alone = claimed.alone
        self.error: BaseException | None = None

    def run(self, switch_lease: Callable[[Job], None]) -> None:
        # Every claim raises the fence, every counted attempt explains one claim: the rest are workers that died.
        if self._job.fence - self._job.attempt > MOST_LOST:
            self._give_up(self._lost_workers())
            return
        if self._slot is not None and self._slot.over_budget:
            self._give_up(_OVER_BUDGET)
            return
        outcomes = self._load()
        self._session = self._open()
        try:
            while True:
                outcome = self._work()
                applied = self._checkpoint([*outcomes, *([outcome] if outcome else [])])
                outcomes = []
                if applied.news:
                    self._take_news()
                    switch_lease(self._job)
                    continue
                kept = next((job for job in applied.jobs if job.leased_by == self._runtime.worker_name), None)
                if kept is None:
                    return
                self._job = kept
                switch_lease(kept)
        finally:
            # Mostly closed by now. What it might say no longer matters: the checkpoint is written or was refused.
            _close(self._session)

    def _lost_workers(self) -> Failure:
        return Failure(
            name="WorkerLostError",
            message=f"{MOST_LOST} workers died, one after the other, at {self._job.name or 'the start'} of this run. "
            "Look for a crash, a lack of memory or a time limit; then send the event again.",
            code="worker_lost",
            retriable=False,
        )

    def _give_up(self, failure: Failure) -> None:
        """Fail the run here: one that takes its workers down with it, or one over its budget."""
        changes = decide(self._turn(), Report(failure=failure))
        applied = checkpoint.apply(self._runtime.database, changes, waiting.matches)
        logger.error("%s", failure.message, extra={"action": failure.code, "run_id": self._run.id})
        hints.publish(self._runtime, applied.jobs, self._slot, run_ended=not applied.refused)

    # Opening

    @cached_property
    def _batch(self) -> list[rows.Event]:
        """The events that were collected for the run, if they were."""
        if self._run.batch is None:
            return []
        with self._runtime.database.autocommit() as connection:
            return events.of_run(connection, self._run.id)

    def _load(self) -> list[Outcome]:
        """Read what is recorded; a timer that went off is the outcome of its step."""
        job = self._job
        database = self._runtime.database
        if job.kind is JobKind.START:
            # Nothing is recorded before the first job ends.
            if self._run.started_at is None:
                with database.autocommit() as connection:
                    runs.start(connection, self._run.id, self._clock.now())
        elif self._claimed_memos is not None:
            self._memos = self._claimed_memos
        else:
            with database.autocommit() as connection:
                self._memos = runs.memos(connection, self._run.id)
        # Recorded before it is: by a worker that kept the job to go on with the function, and died then.
        if job.kind not in (JobKind.SLEEP, JobKind.TIMEOUT) or job.key in self._memos:
            return []
        op = Opcode.SLEEP if job.kind is JobKind.SLEEP else Opcode(json.loads(job.opts or "{}")["op"])
        memo = f'{{"error":{json.dumps(_TIMED_OUT)}}}' if op is Opcode.INVOKE else "null"
        self._memos[job.key] = memo
        return [Outcome(job.key, job.name, op, job.attempt, memo, job.created_at, self._clock.now())]

    def _open(self) -> NativeSession:
        """Begin the function from the top, with what is recorded."""
        job = self._job
        attempt = 0 if job.kind is JobKind.STEP else job.attempt
        opening = Opening(
            run_id=self._run.id,
            events=[_as_event(event) for event in self._batch or [self._event]],
            memos=self._memos,
            attempt=attempt,
            max_attempts=self._spec.max_attempts,
            request_id=self._task_id,
            job_id=f"{job.subject_id}.{job.key}.{job.fence}",
        )
        session = NativeSession(self._function, opening, self._clock)
        self._asked_at = self._clock.now()
        session.start()
        return session

    # Working

    def _work(self) -> Outcome | None:
        """Run the body of the step at hand, if there is one, and let the function go on with its result."""
        session = self._session
        key = self._step_at_hand(session)
        if key is None:
            return None
        attempt = self._job.attempt if self._job.key == key else 0
        crash_point("before_body")
        if self._job is self._own_job and self._job.key == key:
            outcome = session.execute(key, attempt, self._task_id)
            self.error = outcome.error
        else:
            outcome = trace_in_place(
                self._runtime.app,
                self._function.task_name,
                shadow=f"{self._function.task_name} · {session.name_of(key)}",
                run_id=self._run.id,
                key=key,
                attempt=attempt,
                message=self._job.message,
                body=lambda task_id: session.execute(key, attempt, task_id),
                show=_shown,
            )
        crash_point("after_body")
        if outcome.memo is not None:
            self._memos[key] = outcome.memo
            self._asked_at = self._clock.now()
            if session.stays_live:
                session.go_on({key: outcome.memo})
            else:
                _close(session)
                self._session = self._open()
        return outcome

    def _step_at_hand(self, session: NativeSession) -> str | None:
        """Give the step whose body to run now: the planned one, or the only one there is while the run is hot."""
        if self._job.kind is JobKind.STEP:
            if session.has_reached(self._job.key):
                return self._job.key
            if self._job.key in self._memos:
                # Recorded by a worker that kept the job to go on with the function, and died then.
                return None
            logger.warning(
                "Run %s did not come to its step %r again: the function has changed, or is not deterministic. "
                "It goes on with the steps that it did come to.",
                self._run.id,
                self._job.name,
                extra={"action": "step_not_reached", "run_id": self._run.id, "step": self._job.key},
            )
            return None
        return session.only_step if self._hot and self._alone else None

    # Writing

    def _checkpoint(self, outcomes: list[Outcome]) -> Applied:
        """Write what happened."""
        session = self._session
        report = session.report(outcomes)
        report.parallel = report.parallel or not self._alone
        self._alone = not report.parallel
        changes = decide(self._turn(), report)
        blocked = changes.known is not None
        if not blocked and not _keeps(changes):
            # Unwound before the commit: another worker may go on with the run right after it.
            swallowed = _close(session)
            if swallowed is not None:
                report.output, report.failure, report.plans = None, failure_of(swallowed), []
                changes = decide(self._turn(), report)
        if report.failure is not None and self.error is None:
            self.error = session.raised
        crash_point("before_checkpoint")
        applied = checkpoint.apply(self._runtime.database, changes, waiting.matches)
        crash_point("after_checkpoint")
        if applied.refused:
            self._tell_refused(outcomes)
            return applied
        goes_on = applied.news or _keeps(changes)
        ends = None if goes_on else self._slot
        hints.publish(self._runtime, applied.jobs, ends, run_ended=changes.end is not None, costs=applied.costs)
        if changes.end is not None and changes.end.deliver is None:
            bridge.show_result(self._runtime, self._function.task_name, self._run.id, changes.end)
        crash_point("after_hint")
        return applied

    def _tell_refused(self, outcomes: list[Outcome]) -> None:
        """Warn of work that was done in vain; to be late with nothing, as of two parallel branches one is, is usual."""
        for outcome in outcomes:
            if outcome.task_id is None:
                # A timer went off; nobody did anything for it.
                continue
            logger.warning(
                "The result of %s of run %s was not recorded: the run has ended, or its lease was lost.",
                outcome.name,
                self._run.id,
                extra={"action": "checkpoint_refused", "run_id": self._run.id, "step": outcome.key},
            )

    def _turn(self) -> Turn:
        runtime, now = self._runtime, self._clock.now()
        settings = runtime.settings
        interval = settings.retry_interval
        return Turn(
            run=self._run,
            event=self._event,
            batch=self._batch,
            job=self._job,
            spec=self._spec,
            worker=runtime.worker_name,
            now=now,
            lease_ms=settings.lease_ms,
            hint_ms=settings.hint_timeout_ms,
            horizon_ms=settings.horizon_ms,
            retry_interval_ms=None if interval is None else round(interval * 1000),
            keep=self._hot and now < self._keep_until and not self._metered,
            asked_at=self._asked_at,
            route_queue=runtime.route_queue,
        )

    def _take_news(self) -> None:
        """Let the function go on with what others have recorded meanwhile."""
        with self._runtime.database.autocommit() as connection:
            self._memos = runs.memos(connection, self._run.id)
        self._asked_at = self._clock.now()
        self._job = replace(self._job, kind=JobKind.RESUME, attempt=0)
        if self._session.stays_live:
            self._session.go_on(self._session.missing(self._memos))
        else:
            _close(self._session)
            self._session = self._open()


def _shown(outcome: Outcome) -> Shown:
    stack = outcome.failure.stack if outcome.failure is not None else None
    return Shown(outcome.memo, outcome.error, retries=outcome.memo is None, stack=stack)


def _keeps(changes: Changes) -> bool:
    return any(job.leased_by for job in changes.jobs)


def _close(session: NativeSession) -> SuspensionSwallowedError | None:
    try:
        session.close()
    except SuspensionSwallowedError as error:
        return error
    return None


def _as_event(event: rows.Event) -> Event:
    # Stored events were checked when they came in.
    return Event.model_construct(name=event.name, data=json.loads(event.data), id=event.external_id, ts=event.ts)
