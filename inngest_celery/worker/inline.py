"""Runs that an app executes by itself and reports (durable endpoints): it holds the run's job as a worker would.

The app's lease has no heartbeat but its reports. When it falls silent the lease runs out, and a worker calls the app to
go on with what is recorded; from then on the app's own reports are refused, so that only one of the two is believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from inngest_celery import ids
from inngest_celery.drivers.http import endpoints
from inngest_celery.drivers.http.answer import Answer
from inngest_celery.drivers.http.defers import LAZY, defers_of
from inngest_celery.drivers.http.ops import Op
from inngest_celery.drivers.http.reading import COMPLETE, Circumstances, is_of_function, outcomes_of, report_of
from inngest_celery.drivers.http.request import DISCOVERY, Call
from inngest_celery.engine import keys, limits, waiting
from inngest_celery.engine.recording import step_of
from inngest_celery.engine.report import Report
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.engine.turn import Turn
from inngest_celery.store import apps, checkpoint, events, extending, functions, jobs, outcomes, runs, schema, subjects
from inngest_celery.store.apps import AppRow
from inngest_celery.store.changes import Applied
from inngest_celery.store.conflicts import retried
from inngest_celery.store.functions import CALL_TASK, FunctionRow
from inngest_celery.store.rows import Event, Job, JobKind, Run, RunStatus, values
from inngest_celery.worker import hints
from inngest_celery.worker.registry import checksum_of, save
from inngest_celery.worker.runs import RunNotFoundError
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.turns import decision, signal_conflict

_START = "start"
# What the app's hold on the job is known by. A worker that takes the job over has a higher one.
_FENCE = 1
_VERSION = 2


class RunExistsError(ValueError):
    """There is such a run already. ``code`` is ``run_exists``."""

    code = "run_exists"


class NotInlineError(ValueError):
    """The run is no endpoint's, or the function's id is another's. ``code`` is ``not_an_endpoint``."""

    code = "not_an_endpoint"


class StepTooLargeError(ValueError):
    """A step gave more than may be stored. ``code`` is ``output_too_large``."""

    code = "output_too_large"


@dataclass(frozen=True, slots=True)
class Beginning:
    """A run that an app begins.

    Attributes:
        run_id: as the app has chosen it.
        data: the HTTP request: the data of the run's event.
        origin: where the app has got it, in its usual form.
        retries: how often a failed step is tried again.
        idempotency: what only one run a day may have; ``None`` if there may be any number.
        sdk: language and version of the app's SDK.
    """

    run_id: str
    data: Mapping[str, Any]
    origin: str
    retries: int
    idempotency: str | None = None
    sdk: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that has begun; ``new`` tells whether just now."""

    function_id: str
    app_id: str
    new: bool


@dataclass(frozen=True, slots=True)
class _Held:
    """A run as the app holds it; without the job if it does not any more."""

    run: Run
    event: Event
    spec: FunctionSpec
    job: Job | None
    steps: int


def begin(runtime: Runtime, beginning: Beginning) -> Begun:
    """Store a run that an app executes, with the lease of its job; once, however often it is told.

    Raises:
        RunExistsError: there is another run with its id, or with its idempotency key.
        NotInlineError: there is a function with the endpoint's id that is none.
    """
    try:
        return _begin(runtime, beginning)
    except IntegrityError:
        # Told twice at the same time; the other one has committed.
        return _begin(runtime, beginning)


@retried
def _begin(runtime: Runtime, beginning: Beginning) -> Begun:
    now = runtime.clock.now()
    data = {**beginning.data, "domain": beginning.origin}
    config, app_id = endpoints.config_of(data, beginning.retries), endpoints.app_of(data)
    event = _event(beginning, now)
    runtime.door.event(event)
    with runtime.database.transaction() as connection:
        function = _registered(connection, runtime, config, app_id, beginning, now)
        existing = runs.get(connection, beginning.run_id)
        if existing is not None:
            before = events.get(connection, existing.event_id)
            if before is None or (existing.function_id, before.data) != (function.id, event.data):
                raise RunExistsError(f"there is another run {existing.id}; give each request an id of its own")
            return Begun(function.id, app_id, new=False)
        # Whoever tells the same at the same time fails here, and finds the run when it looks again.
        connection.execute(sa.insert(schema.event), values(event))
        subjects.note_events(connection, [event])
        run = Run(
            id=beginning.run_id,
            function_id=function.id,
            event_id=event.id,
            idempotency_key=keys.event_key(function.id, event),
            status=RunStatus.RUNNING.value,
            created_at=now,
            started_at=now,
        )
        holder = runs.claim(connection, run)
        if holder is not None:
            raise RunExistsError(f"run {holder.id} has this idempotency key")
        jobs.insert(connection, [_held_job(runtime, function, run, app_id, now)])
    return Begun(function.id, app_id, new=True)


def report(runtime: Runtime, run_id: str, ops: Sequence[Op]) -> bool:
    """Record what an app has done of a run that it executes; with a step that is ours to do, go on with the run.

    Returns:
        Whether it counts: not if the run has ended, or was taken over, otherwise than by this report.

    Raises:
        RunNotFoundError: there is no such run.
        NotInlineError: it is no endpoint's.
        StepTooLargeError: a step gave too much; nothing is recorded.
    """
    now = runtime.clock.now()
    held = _held(runtime, run_id)
    until = now + runtime.settings.endpoint_lease_ms
    done = None if any(is_of_function(op) for op in ops) else outcomes_of(ops, now)
    for outcome in done or ():
        runtime.door.outcome(outcome, held.run.function_id, held.event.name)
    if any(limits.too_large(outcome) for outcome in done or ()):
        raise StepTooLargeError(f"a step's output may have {limits.STEP_BYTES} bytes; return a reference to the data")
    # A run with too many steps is ended here: refused, it would be reported again and again.
    if done is None or held.steps + len(done) > limits.STEPS:
        counts = held.job is not None and _hand_over(runtime, held, held.job, ops, now)
        return counts or _is_known(runtime, run_id, ops)
    steps = [step_of(outcome, run_id, queued_at=now, worker=None) for outcome in done]
    deferred = defers_of(ops, run_id, now)
    runtime.door.report(Report(defers=deferred), held.run.function_id, held.event.name)
    held_job = extending.Held(run_id, _START, _FENCE)
    recorded = extending.extend(runtime.database, held_job, steps, deferred, until=until)
    return recorded or _is_known(runtime, run_id, ops)


def _registered(
    connection: sa.Connection,
    runtime: Runtime,
    config: dict[str, Any],
    app_id: str,
    beginning: Beginning,
    now: int,
) -> FunctionRow:
    """Give the endpoint's function; it is stored when its first request comes, or when its retries have changed."""
    found = functions.get(connection, config["id"])
    if found is not None:
        spec = read_spec(found.config)
        if not spec.is_endpoint:
            raise NotInlineError(f"there is a function {found.id} already, which is no endpoint; name one differently")
        if found.archived_at is None and spec.retries == beginning.retries:
            return found
    text, queue = json.dumps(config, sort_keys=True, separators=(",", ":")), runtime.route_queue
    row = FunctionRow(config["id"], app_id, text, checksum_of(text, queue), 1, CALL_TASK, queue, None, now)
    app = AppRow(app_id, "", apps.API, beginning.sdk[:64], "", now, now)
    before = apps.lock(connection, app)
    if before.archived_at is not None:
        apps.save(connection, app)
    save(connection, runtime, row, functions.get(connection, row.id))
    return row


def _event(beginning: Beginning, now: int) -> Event:
    # Always the same one for a run.
    event_id = ids.derived(ids.time_of(beginning.run_id), beginning.run_id, endpoints.HTTP_REQUEST)
    key = event_id if beginning.idempotency is None else f"endpoint:{beginning.idempotency}"
    text = json.dumps(beginning.data, ensure_ascii=False, sort_keys=True)
    return Event(event_id, endpoints.HTTP_REQUEST, key, text, now, now)


def _held_job(runtime: Runtime, function: FunctionRow, run: Run, app_id: str, now: int) -> Job:
    until = now + runtime.settings.endpoint_lease_ms
    return Job(
        subject_id=run.id,
        key=_START,
        kind=JobKind.RESUME,
        name="",
        function_id=function.id,
        task_name=function.task_name,
        queue=function.queue,
        opts=json.dumps({"v": _VERSION}),
        created_at=now,
        due_at=now,
        sweep_at=until,
        leased_by=app_id,
        leased_until=until,
        fence=_FENCE,
    )


def _held(runtime: Runtime, run_id: str) -> _Held:
    with runtime.database.autocommit() as connection:
        run = runs.get(connection, run_id)
        if run is None:
            raise RunNotFoundError(run_id)
        function, event = functions.get(connection, run.function_id), events.get(connection, run.event_id)
        if function is None or event is None or not read_spec(function.config).is_endpoint:
            raise NotInlineError(f"run {run_id} is no endpoint's: what its app does is reported under its call")
        job = next((job for job in jobs.of_subject(connection, run_id) if job.key == _START), None)
        mine = job if job is not None and job.fence == _FENCE else None
        return _Held(run, event, read_spec(function.config), mine, outcomes.count(connection, run_id))


def _hand_over(runtime: Runtime, held: _Held, job: Job, ops: Sequence[Op], now: int) -> bool:
    """Decide on what the app cannot go on with, and write it; false if the app does not hold the run any more."""
    with runtime.database.autocommit() as connection:
        memos = runs.memos(connection, held.run.id)
    report = runtime.door.report(_read(held, job, memos, ops, now), held.run.function_id, held.event.name)
    applied = _write(runtime, held, job, report, now)
    if applied.conflict is not None:
        report.failure = signal_conflict(applied.conflict)
        applied = _write(runtime, held, job, report, now)
    if applied.refused:
        return False
    hints.publish(runtime, applied.jobs)
    return True


def _read(held: _Held, job: Job, memos: dict[str, str], ops: Sequence[Op], now: int) -> Report:
    answer = Answer(version=_VERSION, ops=list(ops))
    call = Call(
        url=str(held.spec.url),
        function_id=held.spec.id,
        run_id=held.run.id,
        step=DISCOVERY,
        events=[held.event],
        memos=memos,
        inputs={},
        attempt=job.attempt,
        max_attempts=held.spec.max_attempts,
        version=_VERSION,
        plan_only=False,
        job_id=f"{job.subject_id}.{job.key}",
        generation=job.fence,
        request_id="",
    )
    found = Circumstances(
        alone=True, races=False, started_at=now, ended_at=now, task_id=None, carried={"v": _VERSION}
    )  # fmt: skip
    return report_of(call, answer, found)


def _write(runtime: Runtime, held: _Held, job: Job, report: Report, now: int) -> Applied:
    settings = runtime.settings
    interval = settings.retry_interval
    turn = Turn(
        run=held.run,
        event=held.event,
        batch=(),
        job=job,
        spec=held.spec,
        worker=str(job.leased_by),
        now=now,
        lease_ms=settings.lease_ms,
        hint_ms=settings.hint_timeout_ms,
        horizon_ms=settings.horizon_ms,
        retry_interval_ms=None if interval is None else round(interval * 1000),
        keep=False,
        asked_at=now,
        seen=0,
        route_queue=runtime.route_queue,
    )
    changes = decision(turn, report)
    if changes.again is not None:
        # The same row, but the app's no more: a report that comes twice is no second attempt.
        changes.again.fence += 1
    return checkpoint.apply(runtime.database, runtime.door.changes(changes), waiting.matches)


def _is_known(runtime: Runtime, run_id: str, ops: Sequence[Op]) -> bool:
    """Tell whether all of a report is on record: its answer was lost, and it comes again."""
    with runtime.database.autocommit() as connection:
        run = runs.get(connection, run_id)
        known = set(runs.memos(connection, run_id))
        known |= {job.key for job in jobs.of_subject(connection, run_id)}
        known |= {attempt.step_id or COMPLETE for attempt in runs.attempts(connection, run_id)}
    if run is not None and RunStatus(run.status) is RunStatus.COMPLETED:
        known.add(COMPLETE)
    return all(op.id in known or op.code == "discoveryrequest" or op.code in LAZY for op in ops)
