"""What one checkpoint writes: the answer of the engine, carried out by the store in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from inngest_celery.store.rows import Attempt, Cost, Event, Job, Run, RunStatus, Step, Wait


@dataclass(slots=True)
class RunEnd:
    """How a run ends.

    Attributes:
        status: one of the ended ones.
        output: JSON text: the result, or the error.
        at: when, in milliseconds.
        hint_by: when a sweep should send hints again for the jobs that it makes due.
        reason: why it was cancelled or skipped.
        events: lifecycle events; stored always, routed only when some function or wait listens to their names.
        routes: a route job for each of these events, in the same order.
        has_parent: whether an invoke step of another run waits for this one.
        parent_memo: what the invoke step of the parent run sees, if there is one.
        deliver: the job that hands the result to a Celery canvas, if the run was started from one.
        route_queue: the queue of the route jobs of what was put off until now.
    """

    status: RunStatus
    output: str | None
    at: int
    hint_by: int
    reason: str | None = None
    events: list[Event] = field(default_factory=list)
    routes: list[Job] = field(default_factory=list)
    has_parent: bool = False
    parent_memo: str = "null"
    deliver: Job | None = None
    route_queue: str = ""


@dataclass(slots=True)
class SignalWait:
    """A wait for a signal, whose name only one run may wait for at a time.

    Attributes:
        wait: one of the checkpoint's waits.
        replaces: whether it takes the name over from another run; else there is a conflict.
    """

    wait: Wait
    signal: str
    replaces: bool


@dataclass(slots=True)
class Changes:
    """One checkpoint of one run, made under the lease of one job.

    Attributes:
        job: the job that ends with it; the checkpoint is refused when its fence is no longer the current one.
        now: the time of the checkpoint in milliseconds.
        steps: outcomes to record; a step that has one already keeps it.
        attempts: failed attempts, for the history.
        jobs: what follows. One whose step is recorded or already has a job is left out.
        waits: waits to register together with their timeout jobs.
        signals: those of the waits that are for a signal.
        events: events to store.
        routes: a route job for each of these events.
        costs: what steps have cost, to be recorded with their outcomes.
        defers: what is put off until the run's end; see :mod:`inngest_celery.store.defers`.
        again: the same job, to run once more later (a retry) instead of ending.
        end: the end of the run, if this is it.
        known: how many outcomes the function has seen, its own included. Set when it is blocked on steps that others
            carry out: the store then tells whether there are more by now.
        parallel: whether others may be working on the same run, so that the fast path is not safe.
        asked_at: when the waits were asked for; an event received since then may already satisfy them.
        onward: the job that calls the function again, if there is something that it has not seen.
        onward_after_all: whether it waits until no other job of the run is left.
        rescue: the job that calls the function again later, if it asks for nothing but what is recorded already:
            without it nothing would carry the run on.
    """

    job: Job
    now: int
    steps: list[Step] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    signals: list[SignalWait] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    routes: list[Job] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    defers: list[Wait] = field(default_factory=list)
    again: Job | None = None
    end: RunEnd | None = None
    known: int | None = None
    parallel: bool = False
    asked_at: int = 0
    onward: Job | None = None
    onward_after_all: bool = False
    rescue: Job | None = None

    @property
    def run_id(self) -> str:
        return self.job.subject_id


@dataclass(slots=True)
class Applied:
    """What a checkpoint did.

    Attributes:
        refused: nothing was written: the lease was lost or the run has ended.
        jobs: the jobs that were really inserted, or made due, and are in need of a hint unless they are leased.
        run: the run whose first job is leased to this worker, if there is one.
        costs: what this checkpoint, and no other, has recorded of costs, for flow control to count.
        news: others have recorded outcomes that the blocked function has not seen; its job is still leased.
        conflict: the signal that another run waits for already; nothing was written.
        cancelled: the runs that an event has cancelled.
    """

    refused: bool = False
    jobs: list[Job] = field(default_factory=list)
    run: Run | None = None
    costs: list[Cost] = field(default_factory=list)
    news: bool = False
    conflict: str | None = None
    cancelled: list[str] = field(default_factory=list)
