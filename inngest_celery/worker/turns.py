"""A worker's turn at a job, whatever the function is: what is recorded before, what may be decided, what is written."""

from __future__ import annotations

import json
import logging
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from inngest_celery.crash import crash_point
from inngest_celery.engine import expressions, policies, waiting
from inngest_celery.engine.decide import decide
from inngest_celery.engine.report import Failure, Outcome, Report
from inngest_celery.engine.spec import FunctionSpec
from inngest_celery.engine.turn import Turn
from inngest_celery.opcodes import Opcode
from inngest_celery.store import checkpoint, events, jobs, rows, runs
from inngest_celery.store.changes import Applied, Changes
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import Job, JobKind
from inngest_celery.worker import bridge, hints, run_events
from inngest_celery.worker.admission import Slot
from inngest_celery.worker.names import owner_name
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.spans import RunSpans
from inngest_celery.worker.tracing import Shown

logger = logging.getLogger(__name__)

# So many workers may die at one job of a run before the run itself is held responsible.
MOST_LOST = 10
# How long a timeout stands back for an event that came before it; doubled up to sixteen times as long.
_LET_PASS_MS = 1000
_PUT_BACK = "put_back"

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


class MaskedError(Exception):
    """An error as it may be seen. It stands for one whose text, or whose traceback's, holds what is masked."""


class Turns(ABC):
    """The turns that one worker takes at one run, one after the other.

    Args:
        claimed: the job, leased to this worker, with its run and event.
        spec: the function's configuration.
        task_name: the Celery task of its jobs.
        task_id: the Celery task that this happens in.
        slot: the places that are held for the job, if something limits it.

    Attributes:
        error: of the job's own attempt, if it failed, for Celery to show.
    """

    def __init__(
        self, runtime: Runtime, claimed: Claimed, spec: FunctionSpec, task_name: str, task_id: str, slot: Slot | None
    ) -> None:
        assert claimed.run is not None
        assert claimed.event is not None
        self._runtime = runtime
        self._clock = runtime.clock
        self._run, self._event, self._job = claimed.run, claimed.event, claimed.job
        self._task_name = task_name
        self._task_id = task_id
        self._slot = slot
        # What a step costs may leave nothing for the next one: each is asked for.
        self._metered = policies.budget_of(claimed.job.flow) is not None
        self._spec = spec
        self._keep_until = self._clock.now() + runtime.settings.slice_ms
        self._hot = runtime.settings.slice_ms > 0
        self._asked_at = self._clock.now()
        self._claimed_memos = claimed.memos
        self._memos: dict[str, str] = {}
        # What was recorded when this worker last looked; what it has recorded since then comes after that.
        self._loaded = 0
        self._own_job = claimed.job
        # While no other job of the run exists, nobody else can have planned the step that the function comes to.
        self._alone = claimed.alone
        self.error: BaseException | None = None
        self._spans = RunSpans(claimed.run, claimed.event)

    def run(self, switch_lease: Callable[[Job | None], None]) -> None:
        """Take turns until the run is over, goes cold or is another's.

        Args:
            switch_lease: told which job to hold from now on.
        """
        with self._spans.entered():
            self._run_on(switch_lease)

    def _run_on(self, switch_lease: Callable[[Job | None], None]) -> None:
        # Every claim raises the fence: those that are not explained are workers that died.
        if self._job.fence - self._explained_claims > MOST_LOST:
            self._give_up(self._lost_workers())
            return
        if self._slot is not None and self._slot.over_budget:
            self._give_up(_OVER_BUDGET)
            return
        if self._comes_before_an_event():
            self._put_back(self._clock.now() + (_LET_PASS_MS << min(self._times_put_back, 4)))
            return
        self._carry_on(switch_lease)

    @property
    def _keeps(self) -> dict[str, Any]:
        """What was kept with the job for whoever does it."""
        kept: dict[str, Any] = json.loads(self._job.opts or "{}")
        return kept

    @property
    def _explained_claims(self) -> int:
        """How often the job was claimed for a reason that is known: for each attempt that was counted, or put back."""
        return self._job.attempt + self._times_put_back

    @property
    def _times_put_back(self) -> int:
        return int(self._keeps.get(_PUT_BACK, 0))

    def _comes_before_an_event(self) -> bool:
        """Tell whether a wait's time is up, but an event that came in time has still to be routed.

        Workers were away, or are behind: the event is to count, though its wait's end is looked at first.
        """
        job = self._job
        if job.kind is not JobKind.TIMEOUT or self._keeps["op"] != Opcode.WAIT_FOR_EVENT.value:
            return False
        with self._runtime.database.autocommit() as connection:
            return jobs.is_overtaking(connection, job, self._clock.now())

    def _put_back(self, later: int) -> None:
        """Leave the job for later, as it was: nobody has had an attempt at it."""
        opts = json.dumps({**self._keeps, _PUT_BACK: self._times_put_back + 1})
        jobs.put_back(self._runtime.database, replace(self._job, opts=opts, due_at=later), later)

    @abstractmethod
    def _carry_on(self, switch_lease: Callable[[Job | None], None]) -> None:
        """Let the function go on from what is recorded."""

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
        applied = self._apply(changes)
        shown = self._runtime.eyes.failure(failure, self._run.function_id, self._event.name)
        logger.error("%s", shown.message, extra={"action": failure.code, "run_id": self._run.id})
        hints.publish(self._runtime, applied.jobs, self._slot, run_ended=not applied.refused)
        if changes.end is not None and not applied.refused:
            run_events.ended(self._runtime, self._shown_as, self._run, self._event, changes.end)

    @property
    def _shown_as(self) -> str:
        return owner_name(self._run.function_id, self._task_name)

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
            run_events.began(self._runtime, self._shown_as, self._run, self._event)
        elif self._claimed_memos is not None:
            self._memos = self._claimed_memos
            self._loaded = len(self._memos)
        else:
            self._reload()
        self._spans.resumed(job, self._memos.get(job.key))
        # Recorded before it is: by a worker that kept the job to go on with the function, and died then.
        if job.kind not in (JobKind.SLEEP, JobKind.TIMEOUT) or job.key in self._memos:
            return []
        op = Opcode.SLEEP if job.kind is JobKind.SLEEP else Opcode(json.loads(job.opts or "{}")["op"])
        memo = f'{{"error":{json.dumps(_TIMED_OUT)}}}' if op is Opcode.INVOKE else "null"
        self._memos[job.key] = memo
        return [Outcome(job.key, job.name, op, job.attempt, memo, job.created_at, self._clock.now())]

    def _reload(self) -> None:
        """Read what is recorded by now."""
        with self._runtime.database.autocommit() as connection:
            self._memos = runs.memos(connection, self._run.id)
        self._loaded = len(self._memos)

    # Writing

    def _write(self, changes: Changes, outcomes: list[Outcome]) -> Applied:
        """Write what was decided on, and have what follows done."""
        crash_point("before_checkpoint")
        applied = self._apply(changes)
        crash_point("after_checkpoint")
        return self._follow_up(changes, applied, outcomes)

    def _follow_up(self, changes: Changes, applied: Applied, outcomes: list[Outcome]) -> Applied:
        """See that what follows from a checkpoint is known to whoever does it."""
        if applied.refused:
            self._tell_refused(outcomes)
            return applied
        if applied.conflict is not None:
            return applied
        goes_on = applied.news or self._kept(applied) is not None
        ends = None if goes_on else self._slot
        hints.publish(self._runtime, applied.jobs, ends, run_ended=changes.end is not None, costs=applied.costs)
        if changes.end is not None:
            if changes.end.deliver is None:
                bridge.show_result(self._runtime, self._task_name, self._run.id, changes.end)
            run_events.ended(self._runtime, self._shown_as, self._run, self._event, changes.end)
        crash_point("after_hint")
        return applied

    def _apply(self, changes: Changes) -> Applied:
        self._runtime.door.changes(changes)
        self._spans.mark([*changes.events, *(changes.end.events if changes.end is not None else [])])
        applied = checkpoint.apply(self._runtime.database, changes, waiting.matches)
        if not applied.refused and applied.conflict is None:
            self._spans.recorded(changes, self._batch)
        return applied

    def _guarded(self, outcome: Outcome) -> Outcome:
        """Mask what a step has given before anybody gets it."""
        return self._runtime.door.outcome(outcome, self._run.function_id, self._event.name)

    def _seen(self, outcome: Outcome) -> Shown:
        """Say how Celery is to show the attempt at a step."""
        eyes, function_id, event = self._runtime.eyes, self._run.function_id, self._event.name
        memo = outcome.memo
        memo = None if memo is None else eyes.memo(memo, outcome.op.value, function_id, event)
        error, stack = self._seen_error(outcome.failure, outcome.error)
        return Shown(memo, error, retries=outcome.memo is None, stack=stack)

    def _seen_error(
        self, failure: Failure | None, error: BaseException | None
    ) -> tuple[BaseException | None, str | None]:
        """Give an exception, and its traceback, as logs and Celery's events may have them."""
        if failure is None:
            return error, None
        shown = self._runtime.eyes.failure(failure, self._run.function_id, self._event.name)
        if error is None or (shown is failure and self._is_harmless(error)):
            return error, shown.stack
        return MaskedError(f"{shown.name}: {shown.message}"), shown.stack

    def _is_harmless(self, error: BaseException) -> bool:
        """Tell whether nothing is masked of an exception with all that it came from, as a traceback shows it."""
        if self._runtime.eyes.see_all:
            return True
        whole = "".join(traceback.format_exception(error))
        return self._runtime.eyes.masker.text(whole, self._event.name, self._run.function_id) == whole

    def _kept(self, applied: Applied) -> Job | None:
        """Give the job that this worker goes on with."""
        return next((job for job in applied.jobs if job.leased_by == self._runtime.worker_name), None)

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
            seen=self._loaded,
            route_queue=runtime.route_queue,
        )


def decision(turn: Turn, report: Report) -> Changes:
    """Decide on a report of an app; an expression in it that has no value fails the run."""
    try:
        return decide(turn, report)
    except (expressions.ExpressionError, expressions.EvaluationError) as error:
        failure = Failure("InvalidExpression", str(error), code=error.code, retriable=False)
        return decide(turn, Report(outcomes=report.outcomes, failure=failure, known=report.known))


def signal_conflict(signal: str) -> Failure:
    """Give what a run fails with that waits for a signal which another one waits for already."""
    return Failure(
        "SignalConflict",
        f"another run waits for the signal {signal!r} already; wait for it with conflict: replace to take it over, or "
        "for another one",
        code="signal_conflict",
        retriable=False,
    )
