"""The state machine: from what a driver reports to what one checkpoint writes. Pure: no I/O, no clock of its own."""

from __future__ import annotations

import json
from dataclasses import replace

from inngest_celery import ids
from inngest_celery.engine import backoff, limits, prompts
from inngest_celery.engine.announcing import announced
from inngest_celery.engine.durations import parse_duration
from inngest_celery.engine.lifecycle import INVOKED, end_of
from inngest_celery.engine.policies import budget_of
from inngest_celery.engine.recording import step_of
from inngest_celery.engine.report import Failure, GoOn, Outcome, Plan, Report
from inngest_celery.engine.retries import is_final, retry_at
from inngest_celery.engine.time_limits import limits_of
from inngest_celery.engine.turn import Turn
from inngest_celery.engine.waiting import wait_for
from inngest_celery.opcodes import Opcode
from inngest_celery.sdk.jsonable import encode
from inngest_celery.store.changes import Changes, RunEnd, SignalWait
from inngest_celery.store.events import route_job
from inngest_celery.store.outcomes import number
from inngest_celery.store.rows import Attempt, Cost, Event, Job, JobKind, RunStatus, Wait
from inngest_celery.store.signals import signal_topic

# What the key of a job begins with that calls a function again.
ONWARD = "onward:"
# How long a step waits for another function, or for a Celery task, if it does not say.
INVOKE_TIMEOUT_MS = 365 * 86_400_000


def decide(turn: Turn, report: Report) -> Changes:
    """Say what to write after a function has run for a while under one job.

    Args:
        turn: the run, the job and the circumstances.
        report: how far the function has come.

    Returns:
        The checkpoint. When it keeps the run, exactly one of its jobs is leased to this worker.
    """
    changes = Changes(job=turn.job, now=turn.now, parallel=report.parallel, asked_at=turn.asked_at)
    changes.defers = report.defers
    for outcome in report.outcomes:
        _charge(turn, changes, outcome)
        if not limits.too_large(outcome):
            _take_outcome(turn, changes, outcome, report)
    # The function has seen them already, after all others. Where those are not all, the checkpoint counts again.
    number(changes.steps, after=report.known - len(changes.steps))
    overrun = limits.exceeded(report, turn.now)
    if overrun is not None:
        report = replace(report, failure=overrun, output=None)
    if report.finished:
        _end_function(turn, changes, report)
        return changes
    for plan in report.plans:
        _take_plan(turn, changes, plan)
    if report.go_on is not None and changes.again is None:
        _call_again(turn, changes, report)
    _keep_one(turn, changes)
    # A lone next step needs no look at what the others do: there are no others.
    alone = not report.parallel and bool(changes.jobs)
    if report.blocked and not alone and changes.again is None:
        changes.known = report.known
    return changes


def record(turn: Turn, report: Report) -> Changes:
    """Say what to write of a step that is recorded at once, before the function has seen what it gave.

    Args:
        turn: the run, the job and the circumstances.
        report: how far the function has come. The last outcome is the step's: it succeeded, and is not too large.

    Returns:
        The checkpoint. Its one job calls the function, and is leased to this worker.
    """
    changes = Changes(job=turn.job, now=turn.now, parallel=report.parallel, asked_at=turn.asked_at)
    for outcome in report.outcomes:
        _charge(turn, changes, outcome)
        _take_outcome(turn, changes, outcome, report)
    number(changes.steps, after=report.known - len(changes.steps))
    # Another key than the step's: whoever comes too late with the same step finds its job gone.
    onward = _job(turn, f"{ONWARD}{report.outcomes[-1].key}", "", JobKind.RESUME, turn.now)
    _lease(turn, onward)
    changes.jobs.append(onward)
    return changes


def _call_again(turn: Turn, changes: Changes, report: Report) -> None:
    """Plan the next call of a function that goes from call to call: now, or when others have done their part."""
    assert report.go_on is not None
    # Another key for every call, so that one can be ended and the next one made by the same statement.
    onward = _job(turn, f"{ONWARD}{report.known}", "", JobKind.RESUME, turn.now, opts=_kept(report.keeps))
    if report.parallel:
        changes.known, changes.onward = report.seen, onward
        changes.onward_after_all = report.go_on is GoOn.AFTER_ALL
    elif report.go_on is GoOn.AT_ONCE or not changes.jobs:
        changes.jobs.append(onward)
        return
    attempt, opts = turn.job.attempt, _kept(report.keeps)
    due_at = turn.now + backoff.retry_delay_ms(attempt, interval_ms=turn.retry_interval_ms)
    changes.rescue = _job(turn, onward.key, "", JobKind.RESUME, due_at, attempt=attempt + 1, opts=opts)


def _take_outcome(turn: Turn, changes: Changes, outcome: Outcome, report: Report) -> None:
    if outcome.failure is not None:
        _note_failure(turn, changes, outcome, report)
    if outcome.memo is not None:
        # A sleep or wait is queued when it is planned: it is only over when its job is due.
        waited = turn.job.kind in (JobKind.SLEEP, JobKind.TIMEOUT) and outcome.key == turn.job.key
        queued_at = turn.job.created_at if waited else turn.job.due_at
        step = step_of(outcome, turn.run.id, queued_at=queued_at, worker=turn.worker)
        if waited and turn.job.kind is JobKind.SLEEP:
            step.waited = json.dumps({"until": turn.job.due_at})
        changes.steps.append(step)
        for event in outcome.emits:
            _send(turn, changes, event)


def _charge(turn: Turn, changes: Changes, outcome: Outcome) -> None:
    """Count what a step cost. That is spent whether or not its output can be stored."""
    if not outcome.cost:
        return
    budget = budget_of(turn.job.flow)
    if budget is not None:
        changes.costs.append(Cost(turn.run.id, outcome.key, budget, outcome.cost, turn.now))


def _note_failure(turn: Turn, changes: Changes, outcome: Outcome, report: Report) -> None:
    """Keep the failed attempt in the history, and plan the next one if there is one."""
    assert outcome.failure is not None
    due_at = None
    if outcome.memo is None:
        due_at = retry_at(outcome.failure, outcome.attempt, turn.now, turn.retry_interval_ms)
        again = _job(turn, outcome.key, outcome.name, JobKind.STEP, due_at, attempt=outcome.attempt + 1)
        if outcome.key == turn.job.key:
            changes.again = _continued(turn, again)
        elif report.retries_call:
            again = _job(turn, turn.job.key, turn.job.name, JobKind.RESUME, due_at, attempt=outcome.attempt + 1)
            changes.again = _continued(turn, again)
        else:
            changes.jobs.append(again)
    made = _attempt(turn, outcome.key, outcome.name, outcome.attempt, outcome.failure, due_at, outcome.started_at)
    if outcome.asked is not None and outcome.memo is None:
        # What the last attempt has asked stands with the step.
        made.error = prompts.with_error(made.error, outcome.asked)
    changes.attempts.append(made)


def _end_function(turn: Turn, changes: Changes, report: Report) -> None:
    failure = report.failure
    if failure is None:
        assert report.output is not None
        changes.end = _run_end(turn, RunStatus.COMPLETED, report.output)
        return
    # What the function's own code raises after a step was recorded is a first attempt, whatever the step took.
    fresh = bool(changes.steps)
    attempt = 0 if fresh else turn.job.attempt
    if is_final(failure, attempt, turn.spec.max_attempts):
        changes.attempts.append(_attempt(turn, "", "", attempt, failure, None, turn.asked_at))
        changes.end = _run_end(turn, RunStatus.FAILED, failure.to_json())
        return
    due_at = retry_at(failure, attempt, turn.now, turn.retry_interval_ms)
    kind = JobKind.RESUME if fresh else turn.job.kind
    # One job carries the function on; steps that were retried beside it are not to run without it.
    changes.jobs.clear()
    changes.again = _continued(turn, _job(turn, turn.job.key, turn.job.name, kind, due_at, attempt=attempt + 1))
    changes.attempts.append(_attempt(turn, "", "", attempt, failure, due_at, turn.asked_at))


def _take_plan(turn: Turn, changes: Changes, plan: Plan) -> None:
    opts = plan.opts
    if plan.op is Opcode.STEP_PLANNED:
        changes.jobs.append(_job(turn, plan.key, plan.name, JobKind.STEP, turn.now, opts=_kept(plan.keeps)))
    elif plan.op is Opcode.SLEEP:
        until = opts.get("until")
        due_at = int(until) if isinstance(until, int) else turn.now + parse_duration(str(opts.get("duration", "0ms")))
        due_at = max(due_at, turn.now)
        changes.jobs.append(_job(turn, plan.key, plan.name, JobKind.SLEEP, due_at, opts=_kept(plan.keeps)))
    elif plan.op is Opcode.WAIT_FOR_EVENT:
        expires_at = turn.now + parse_duration(str(opts["timeout"]))
        expression = opts.get("if")
        wait = wait_for(
            turn.run.id,
            plan.key,
            plan.name,
            event_name=str(opts["event"]),
            expression=None if expression is None else str(expression),
            event=turn.event,
            now=turn.now,
            expires_at=expires_at,
            seen=turn.seen,
        )
        _wait(turn, changes, plan, wait)
    elif plan.op is Opcode.WAIT_FOR_SIGNAL:
        signal, expires_at = str(opts["signal"]), turn.now + parse_duration(str(opts["timeout"]))
        wait = _named_wait(turn, plan, signal_topic(signal), expires_at)
        changes.signals.append(SignalWait(wait, signal, replaces=opts.get("conflict") == "replace"))
        _wait(turn, changes, plan, wait)
    elif plan.op is Opcode.INVOKE:
        _invoke(turn, changes, plan)
    elif plan.op is Opcode.CELERY:
        _ask_celery(turn, changes, plan)
    else:
        raise ValueError(f"a function cannot plan a step of kind {plan.op.value}")


def _ask_celery(turn: Turn, changes: Changes, plan: Plan) -> None:
    """Plan a step that a Celery task carries out: one job sends it, and later looks after it."""
    expires_at = _answer_by(turn, plan)
    kept = {"op": plan.op.value, **plan.opts, "expires_at": expires_at}
    changes.waits.append(_named_wait(turn, plan, "", expires_at))
    changes.jobs.append(_job(turn, plan.key, plan.name, JobKind.CELERY, turn.now, opts=json.dumps(kept)))


def _answer_by(turn: Turn, plan: Plan) -> int:
    timeout = plan.opts.get("timeout")
    return turn.now + (parse_duration(str(timeout)) if timeout else INVOKE_TIMEOUT_MS)


def _invoke(turn: Turn, changes: Changes, plan: Plan) -> None:
    expires_at = _answer_by(turn, plan)
    _wait(turn, changes, plan, _named_wait(turn, plan, "", expires_at))
    payload = plan.opts.get("payload")
    data = dict(payload.get("data") or {}) if isinstance(payload, dict) else {}
    data["_inngest"] = {
        "fn_id": plan.opts["function_id"],
        "correlation_id": f"{turn.run.id}.{plan.key}",
        "source_fn_id": turn.run.function_id,
        "expire": expires_at,
        "name": plan.name,
    }
    # The same step always makes the same event: planning it twice invokes once.
    event_id = ids.derived(ids.time_of(turn.run.id), turn.run.id, plan.key, INVOKED)
    _send(turn, changes, Event(event_id, INVOKED, event_id, encode(data), turn.now, turn.now))


def _named_wait(turn: Turn, plan: Plan, event_name: str, expires_at: int) -> Wait:
    return Wait(
        run_id=turn.run.id,
        key=plan.key,
        kind=plan.op.value,
        name=plan.name,
        event_name=event_name,
        anchor="",
        expression=None,
        created_at=turn.now,
        expires_at=expires_at,
    )


def _wait(turn: Turn, changes: Changes, plan: Plan, wait: Wait) -> None:
    opts = json.dumps({"op": plan.op.value, **(plan.keeps or {})})
    changes.waits.append(wait)
    changes.jobs.append(_job(turn, plan.key, plan.name, JobKind.TIMEOUT, wait.expires_at, opts=opts))


def _kept(opts: dict[str, object] | None) -> str | None:
    return json.dumps(opts) if opts else None


def _keep_one(turn: Turn, changes: Changes) -> None:
    """Lease one of the next steps to this worker, if it may keep the run and there is one to take right now."""
    if not turn.keep:
        return
    for job in [*changes.jobs, *([changes.onward] if changes.onward else [])]:
        if job.kind in (JobKind.STEP, JobKind.RESUME) and job.due_at <= turn.now and limits_of(job) is None:
            _lease(turn, job)
            return


def _lease(turn: Turn, job: Job) -> None:
    """Let a new job be this worker's from the beginning."""
    job.leased_by = turn.worker
    job.leased_until = job.sweep_at = turn.now + turn.lease_ms
    job.fence = 1
    job.hints = 0


def _send(turn: Turn, changes: Changes, event: Event) -> None:
    changes.events.append(event)
    changes.routes.append(
        route_job(event.id, now=turn.now, due_at=turn.now, sweep_at=turn.now + turn.hint_ms, queue=turn.route_queue)
    )


def _run_end(turn: Turn, status: RunStatus, output: str) -> RunEnd:
    return end_of(
        turn.run,
        turn.event,
        status,
        output,
        now=turn.now,
        hint_ms=turn.hint_ms,
        route_queue=turn.route_queue,
        batch=turn.batch,
    )


def _job(
    turn: Turn, key: str, name: str, kind: JobKind, due_at: int, *, attempt: int = 0, opts: str | None = None
) -> Job:
    job = Job(
        subject_id=turn.run.id,
        key=key,
        kind=kind,
        name=name,
        function_id=turn.run.function_id,
        task_name=turn.job.task_name,
        queue=turn.job.queue,
        opts=opts,
        # The limits of a run are decided once, when it starts.
        flow=turn.job.flow,
        message=turn.job.message,
        created_at=turn.now,
        due_at=due_at,
        sweep_at=due_at,
        attempt=attempt,
    )
    return announced(job, now=turn.now, hint_ms=turn.hint_ms, horizon_ms=turn.horizon_ms)


def resumption(turn: Turn) -> Job:
    """Give the job at hand as one that carries the function on, now that its step is over."""
    job = _job(turn, turn.job.key, "", JobKind.RESUME, turn.now)
    job.fence, job.created_at = turn.job.fence, turn.job.created_at
    return job


def _continued(turn: Turn, job: Job) -> Job:
    """The same row with its fence: whoever held it before cannot write under it any more."""
    job.fence = turn.job.fence
    job.created_at = turn.job.created_at
    job.opts = turn.job.opts
    return job


def _attempt(
    turn: Turn, step_id: str, name: str, attempt: int, failure: Failure, retry: int | None, started_at: int
) -> Attempt:
    return Attempt(
        run_id=turn.run.id,
        step_id=step_id,
        job_key=turn.job.key,
        fence=turn.job.fence,
        attempt=attempt,
        name=name,
        error=failure.to_json(),
        started_at=started_at,
        ended_at=turn.now,
        retry_at=retry,
        worker=turn.worker,
    )
