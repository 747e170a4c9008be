"""A worker's turn at a job: let the function run, write the checkpoint, and take the next step if the run is hot."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from inngest_celery.crash import crash_point
from inngest_celery.drivers.native.failures import failure_of
from inngest_celery.drivers.native.session import NativeSession, Opening
from inngest_celery.engine.decide import decide, record
from inngest_celery.engine.report import Failure, Outcome
from inngest_celery.engine.spec import read_spec
from inngest_celery.engine.time_limits import limits_of
from inngest_celery.masking import sealed
from inngest_celery.sdk.errors import SuspensionSwallowedError
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.function import Function
from inngest_celery.sdk.secret import read_json
from inngest_celery.sdk.session import InTransaction
from inngest_celery.store import rows
from inngest_celery.store.changes import Applied, Changes
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import Job, JobKind
from inngest_celery.worker import legacy_tasks
from inngest_celery.worker.admission import Slot
from inngest_celery.worker.leases import LeaseKeeper
from inngest_celery.worker.names import step_name
from inngest_celery.worker.remote import RemoteTurns
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.spans import Enter
from inngest_celery.worker.tracing import trace_in_place
from inngest_celery.worker.transactions import Recorded, TransactionalStep
from inngest_celery.worker.turns import Turns

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Executor:
    """Carries runs on, each by its function's driver.

    Attributes:
        runtime: the app's settings, clock and database.
        leases: keeps leases alive meanwhile.
    """

    runtime: Runtime
    leases: LeaseKeeper

    def carry_on(
        self, claimed: Claimed, function: Function[Any] | FunctionRow, task_id: str, slot: Slot | None = None
    ) -> BaseException | None:
        """Work on a claimed job of a run, and on the run's next steps while it may be kept.

        Args:
            claimed: the job, leased to this worker, with its run and event.
            function: the function; of one that is called over the wire, its row.
            task_id: the Celery task that this happens in.
            slot: the places that are held for it, if something limits it. They are kept for all that this worker does
                for the run now.

        Returns:
            The error of the job's own attempt, if it failed, for Celery to show.
        """
        turns: Turns
        if isinstance(function, FunctionRow):
            turns = RemoteTurns(self.runtime, claimed, function, task_id, slot)
        else:
            turns = NativeTurns(self.runtime, claimed, function, task_id, slot)
        with self.leases.hold(claimed.job, slot) as hold, sealed.used(self.runtime.secret_keys):
            turns.run(hold.switch)
        return turns.error


class NativeTurns(Turns):
    """Turns at a run of a function that this process has: it is called, and stays live while the run is kept."""

    def __init__(
        self, runtime: Runtime, claimed: Claimed, function: Function[Any], task_id: str, slot: Slot | None
    ) -> None:
        super().__init__(runtime, claimed, read_spec(function.wire_text), function.task_name, task_id, slot)
        self._function = function
        # Of the step at hand, if its own transaction has written it or was refused.
        self._recorded: Recorded | None = None
        self._limits = limits_of(claimed.job)
        if self._limits is not None:
            # The limit is this step's alone: what follows is another message's.
            self._hot = False

    @property
    def _explained_claims(self) -> int:
        # Whoever looks after a Celery task claims the step's job every time.
        return super()._explained_claims + legacy_tasks.claims_of(self._job)

    def _carry_on(self, switch_lease: Callable[[Job | None], None]) -> None:
        self._switch_lease = switch_lease
        self._unrecorded = self._load()
        self._session = self._open()
        try:
            while True:
                outcome = self._work()
                if outcome is not None and self._recorded is not None:
                    kept = self._kept(self._follow_up(self._recorded.changes, self._recorded.applied, [outcome]))
                    if kept is None:
                        return
                    self._job = kept
                    switch_lease(kept)
                    self._unrecorded = []
                elif outcome is not None:
                    self._unrecorded.append(outcome)
                if outcome is not None:
                    self._hear(outcome)
                applied = self._checkpoint(self._unrecorded)
                self._unrecorded = []
                if applied.news:
                    self._take_news()
                    switch_lease(self._job)
                    continue
                kept = self._kept(applied)
                if kept is None:
                    return
                self._job = kept
                switch_lease(kept)
        finally:
            # Mostly closed by now. What it might say no longer matters: the checkpoint is written or was refused.
            _close(self._session)

    # Opening

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
        """Run the body of the step at hand, if there is one."""
        session = self._session
        self._recorded = None
        key = self._step_at_hand(session)
        if key is None:
            return None
        attempt = self._job.attempt if self._job.key == key else 0
        if self._limits is not None and self._limits.hard is not None:
            self._runtime.tell_if_not_killing()

        def body(task_id: str) -> Outcome:
            def execute(enter: Enter | None) -> Outcome:
                inside = session.transaction_of(key)
                if inside is not None:
                    return self._transact(inside, key, attempt, task_id, enter)
                return self._guarded(session.execute(key, attempt, task_id, enter))

            return self._spans.attempt(key, session.name_of(key), attempt, execute, self._failed)

        crash_point("before_body")
        if self._job is self._own_job and self._job.key == key:
            outcome = body(self._task_id)
            self.error, _ = self._seen_error(outcome.failure, outcome.error)
        else:
            outcome = trace_in_place(
                self._runtime.app,
                self._task_name,
                shadow=step_name(self._task_name, session.name_of(key)),
                run_id=self._run.id,
                key=key,
                step=session.name_of(key),
                attempt=attempt,
                message=self._job.message,
                body=body,
                show=self._seen,
            )
        crash_point("after_body")
        return outcome

    def _failed(self, outcome: Outcome) -> tuple[Failure | None, BaseException | None]:
        """Say for a span what an attempt has failed with."""
        if outcome.failure is None:
            return None, outcome.error
        shown = self._runtime.eyes.failure(outcome.failure, self._run.function_id, self._event.name)
        return shown, self._seen_error(outcome.failure, outcome.error)[0]

    def _transact(self, inside: InTransaction, key: str, attempt: int, task_id: str, enter: Enter | None) -> Outcome:
        """Run a step's body in the transaction that records its outcome."""
        session, database = self._session, self._runtime.database
        step = TransactionalStep(
            runtime=self._runtime,
            inside=inside,
            execute=lambda: self._guarded(session.execute(key, attempt, task_id, enter)),
            failed=lambda error: self._guarded(session.failed(key, attempt, task_id, error)),
            record=self._record,
        )
        if database.dialect == "sqlite":
            # Nobody can write meanwhile: neither prolong a lease nor take one.
            self._switch_lease(None)
        try:
            outcome, self._recorded = step.perform()
        finally:
            self._switch_lease(self._job)
        return outcome

    def _record(self, outcome: Outcome) -> Changes:
        """Say what such a step's transaction is to write; with what is over and not recorded yet, a sleep say."""
        report = self._session.standing_with([*self._unrecorded, outcome])
        report.parallel = report.parallel or not self._alone
        return self._runtime.door.changes(record(self._turn(), report))

    def _hear(self, outcome: Outcome) -> None:
        """Let the function go on with what a step gave, if it has given anything yet."""
        if outcome.memo is None:
            return
        self._memos[outcome.key] = outcome.memo
        self._asked_at = self._clock.now()
        if self._session.stays_live:
            self._session.go_on({outcome.key: outcome.memo})
        else:
            _close(self._session)
            self._session = self._open()

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
        report = self._runtime.door.report(session.report(outcomes), self._run.function_id, self._event.name)
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
            self.error, _ = self._seen_error(report.failure, session.raised)
        return self._write(changes, outcomes)

    def _take_news(self) -> None:
        """Let the function go on with what others have recorded meanwhile."""
        self._reload()
        self._asked_at = self._clock.now()
        self._job = replace(self._job, kind=JobKind.RESUME, attempt=0)
        if self._session.stays_live:
            self._session.go_on(self._session.missing(self._memos))
        else:
            _close(self._session)
            self._session = self._open()


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
    return Event.model_construct(name=event.name, data=read_json(event.data), id=event.external_id, ts=event.ts)
