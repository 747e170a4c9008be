"""Steps that Celery tasks of other code carry out: sent by one job, which then asks from time to time how they go.

Whoever executes the task need not know this package. It calls back as Celery does for any task: with a message to a
task of ours, which our workers execute. Should that get lost, the job finds the result in the result backend. Of all
who come with an outcome one records it: the one who takes the step's wait.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import redis
from celery import Celery, Task
from celery.canvas import Signature
from sqlalchemy.exc import SQLAlchemyError

from inngest_celery.crash import crash_point
from inngest_celery.drivers.native.failures import failure_of
from inngest_celery.engine.announcing import announced
from inngest_celery.engine.report import Failure
from inngest_celery.opcodes import Opcode
from inngest_celery.store import jobs, runs, waits
from inngest_celery.store.conflicts import retried
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import Job, JobKind, RunStatus
from inngest_celery.worker import hints, spans
from inngest_celery.worker.broker import BROKER_ERRORS, producer_of
from inngest_celery.worker.canvases import Canvas, Ending, memo_of, usable
from inngest_celery.worker.runtime import Runtime, runtime_of
from inngest_celery.worker.spans import RunSpans
from inngest_celery.worker.turns import MOST_LOST

logger = logging.getLogger(__name__)

DONE_TASK = "inngest.task_done"
FAILED_TASK = "inngest.task_failed"
# How long after it was sent a task is asked for; twice as long each time, up to the longest.
FIRST_LOOK_MS = 5_000
LONGEST_PAUSE_MS = 600_000
# A callback may come before what it tells of is in the result backend: it looks so often, a second later at first.
_LOOKS = 5
_LONGEST_RETRY_S = 60
# What the result backends raise that this package knows of. Others' errors end the lease, and are tried again after it.
_AWAY = (*BROKER_ERRORS, redis.RedisError, SQLAlchemyError)


_WORKERS_LOST = Failure(
    "WorkerLostError",
    f"{MOST_LOST} workers died, one after the other, at sending the Celery task of this step, or at asking for its "
    "end. Look for a lack of memory: how large are its arguments, and its result?",
    code="worker_lost",
    retriable=False,
)


def define(app: Celery) -> None:
    """Give a Celery app the tasks that are called when such a task has ended."""
    # A message is all that there is of a result that no backend keeps.
    options = {"bind": True, "shared": False, "acks_late": True, "reject_on_worker_lost": True, "ignore_result": True}
    app.task(name=DONE_TASK, **options)(_task_done)
    app.task(name=FAILED_TASK, **options)(_task_failed)


def claims_of(job: Job) -> int:
    """Give how often a job was claimed while it looked after a Celery task: no worker has died of that."""
    return int(json.loads(job.opts).get("claims", 0)) if job.opts else 0


# The job


def perform(runtime: Runtime, claimed: Claimed) -> None:
    """Send the Celery task of a step, or ask how it goes; go on with the run if it has ended."""
    job = claimed.job
    with runtime.executor.leases.hold(job):
        canvas = _canvas_of(runtime, job)
        if job.fence - claims_of(job) > MOST_LOST:
            _settle(runtime, job, canvas, _WORKERS_LOST)
        elif not runtime.sends_hints or runtime.app.conf.task_always_eager:
            _settle(runtime, job, canvas, canvas.apply())
        elif "sent_at" in _kept(job):
            _look(runtime, job, canvas)
        else:
            _send(runtime, claimed, canvas)


def _send(runtime: Runtime, claimed: Claimed, canvas: Canvas) -> None:
    job = claimed.job
    refusal = _refusal(canvas)
    # Whoever had the job before may have sent it, and died: then it may have ended by now.
    ending = refusal or (_ending(runtime, job, canvas) if job.fence > 1 else None)
    if ending is None:
        try:
            _publish(runtime, claimed, canvas)
        except _AWAY as error:
            _put_off(runtime, job, error)
            return
        except Exception as error:  # noqa: BLE001  what a signature makes Celery raise is the step's outcome
            ending = failure_of(error)
    if ending is not None:
        _settle(runtime, job, canvas, ending)
        return
    crash_point("task_published")
    now = runtime.clock.now()
    sent = {"sent_at": now, "task_id": canvas.id, "ids": canvas.task_ids, "queue": canvas.queue}
    if not _look_again(runtime, job, {**sent, "pause": FIRST_LOOK_MS}) and _has_ended(runtime, job.subject_id):
        # Cancelled meanwhile, by somebody who could not know that it was sent.
        _revoke(runtime, canvas.task_ids)


def _look(runtime: Runtime, job: Job, canvas: Canvas) -> None:
    kept, now = _kept(job), runtime.clock.now()
    ending = _ending(runtime, job, canvas)
    if ending is None and now < kept["expires_at"]:
        _look_again(runtime, job, {"pause": min(kept["pause"] * 2, LONGEST_PAUSE_MS)})
        return
    if ending is not None:
        _settle(runtime, job, canvas, ending)
    elif _settle(runtime, job, canvas, _timed_out(kept)):
        _revoke(runtime, canvas.task_ids)


def _refusal(canvas: Canvas) -> Failure | None:
    """Say why a signature cannot be carried out at all."""
    if not canvas.needs_backend or canvas.can_be_asked:
        return None
    return Failure(
        "CeleryTaskError",
        "Celery waits for the tasks of a group or chord in a result backend that all workers share, and this app has "
        "none. Set result_backend (Redis or a database; rpc:// will not do) for the app and for the workers of these "
        "tasks, or make a step of each task and run them with ctx.group.parallel.",
        code="step_invalid",
        retriable=False,
    )


def _publish(runtime: Runtime, claimed: Claimed, canvas: Canvas) -> None:
    job = claimed.job
    assert claimed.run is not None
    assert claimed.event is not None
    headers = RunSpans(claimed.run, claimed.event).headers_of(job.key)
    done, failed = (_callback(runtime, name, job) for name in (DONE_TASK, FAILED_TASK))
    with spans.inside(headers), producer_of(runtime.app) as producer:
        canvas.publish(done, failed, headers, producer)


def _callback(runtime: Runtime, name: str, job: Job) -> Signature:
    conf, options = runtime.app.conf, {"queue": runtime.route_queue, "ignore_result": True}
    # What can be kept as a result can be called back with: else the callback would make the task fail.
    serializer = conf.result_serializer or conf.task_serializer
    kwargs = {"run": job.subject_id, "step": job.key}
    return Signature(name, kwargs=kwargs, options={**options, "serializer": serializer}, app=runtime.app)


def _ending(runtime: Runtime, job: Job, canvas: Canvas) -> Ending | None:
    """Ask how it ended; whoever does not answer is asked again later."""
    try:
        return canvas.ending()
    except _AWAY as error:
        logger.warning(
            "The result backend does not answer (%s). The Celery task of step %s of run %s is asked for again later.",
            error,
            job.name,
            job.subject_id,
            extra={"action": "result_backend_unavailable", "run_id": job.subject_id, "step": job.key},
        )
        return None


def _look_again(runtime: Runtime, job: Job, told: dict[str, Any]) -> bool:
    """Let the job look again after a pause; false if it is somebody else's by now, or gone."""
    now, settings = runtime.clock.now(), runtime.settings
    kept = {**_kept(job), **told, "claims": job.fence}
    due_at = min(now + kept["pause"], kept["expires_at"])
    again = replace(job, opts=json.dumps(kept), due_at=due_at, leased_by=None, leased_until=None)
    announced(again, now=now, hint_ms=settings.hint_timeout_ms, horizon_ms=settings.horizon_ms)
    updated = _update(runtime, job, again)
    if updated:
        hints.publish(runtime, [again])
    return updated


@retried
def _update(runtime: Runtime, job: Job, again: Job) -> bool:
    with runtime.database.transaction() as connection:
        return jobs.update(connection, job, again)


def _put_off(runtime: Runtime, job: Job, error: Exception) -> None:
    logger.warning(
        "The Celery task of step %s of run %s cannot be sent (%s). It is tried again.",
        job.name,
        job.subject_id,
        error,
        extra={"action": "celery_step_not_sent", "run_id": job.subject_id, "step": job.key},
    )
    kept = {**_kept(job), "claims": job.fence}
    due_at = runtime.clock.now() + runtime.settings.hint_timeout_ms
    jobs.put_back(runtime.database, replace(job, opts=json.dumps(kept), due_at=due_at), due_at)


def _timed_out(kept: dict[str, Any]) -> Failure:
    return Failure(
        "CeleryTaskTimeoutError",
        f"The Celery task {kept['task']} ({kept['task_id']}) has not told its end in time. It was revoked: it will not "
        "begin if it has not begun. See that workers consume its queue, or give the step a longer timeout.",
        code="step_errored",
        retriable=False,
    )


# The callbacks


def _task_done(self: Task, result: Any, run: str, step: str) -> None:
    """Go on with a run whose Celery task has given this."""
    runtime = runtime_of(self.app)
    try:
        job = _open_job(runtime, run, step)
        if job is not None:
            crash_point("task_told")
            _settle(runtime, job, _canvas_of(runtime, job), usable(result))
    except SQLAlchemyError as error:
        _retry(self, error)


def _task_failed(self: Task, failed_id: str, run: str, step: str) -> None:
    """Go on with a run whose Celery task has failed: why is in the result backend, or nowhere."""
    runtime = runtime_of(self.app)
    try:
        job = _open_job(runtime, run, step)
        if job is None:
            return
        canvas = _canvas_of(runtime, job)
        ending = _ending(runtime, job, canvas)
        if ending is None and canvas.can_be_asked and self.request.retries < _LOOKS:
            raise self.retry(countdown=2**self.request.retries, max_retries=None)
        _settle(runtime, job, canvas, ending or _failed_somehow(failed_id))
    except SQLAlchemyError as error:
        _retry(self, error)


def _retry(task: Task, error: Exception) -> None:
    """Come again when the database may be back: there may be no other word of the task's end."""
    raise task.retry(exc=error, countdown=min(2**task.request.retries, _LONGEST_RETRY_S), max_retries=None)


def _failed_somehow(failed_id: str) -> Failure:
    return Failure(
        "CeleryTaskError",
        f"The Celery task {failed_id} failed. Its error is not known here: no result backend keeps it. See the log of "
        "its worker; to have the error here, set result_backend, and for a task with ignore_result also "
        "task_store_errors_even_if_ignored.",
        code="step_errored",
        retriable=False,
    )


@retried
def _open_job(runtime: Runtime, run_id: str, key: str) -> Job | None:
    """Give the job of a step that still waits for its Celery task."""
    with runtime.database.autocommit() as connection:
        found = jobs.of_subject(connection, run_id)
    return next((job for job in found if job.key == key and job.kind is JobKind.CELERY), None)


# What both do


def _settle(runtime: Runtime, job: Job, canvas: Canvas, ending: Ending) -> bool:
    """Record how it ended, and let the run go on; false if it went on, or ended, before."""
    # Nobody knows here what started the run: rules of certain events are for what others give.
    memo = runtime.door.memo(memo_of(ending), Opcode.CELERY.value, job.function_id, None)
    due = _record(runtime, job, memo, canvas.id)
    if due is None:
        return False
    crash_point("task_settled")
    hints.publish(runtime, [due])
    return True


@retried
def _record(runtime: Runtime, job: Job, memo: str, task_id: str) -> Job | None:
    now = runtime.clock.now()
    with runtime.database.transaction() as connection:
        return waits.resume(
            connection,
            job.subject_id,
            job.key,
            memo,
            now=now,
            sweep_at=now + runtime.settings.hint_timeout_ms,
            task_id=task_id,
            more={"task": _kept(job)["task"]},
        )


def _canvas_of(runtime: Runtime, job: Job) -> Canvas:
    return Canvas(runtime.app, _kept(job)["signature"], job.subject_id, job.key)


def _kept(job: Job) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(job.opts or "{}")
    return kept


# Revoking


def revoke(runtime: Runtime, job: Job) -> None:
    """Revoke the Celery tasks that a run waited for until it ended."""
    if runtime.sends_hints and not _revoke(runtime, _kept(job)["ids"]):
        jobs.put_back(runtime.database, job, runtime.clock.now() + runtime.settings.hint_timeout_ms)
        return
    jobs.take(runtime.database, job.subject_id, job.key)


def _revoke(runtime: Runtime, task_ids: list[str]) -> bool:
    """Tell the workers not to begin these; false if the broker does not take that."""
    try:
        runtime.app.control.revoke(task_ids)
    except BROKER_ERRORS as error:
        logger.warning(
            "Tasks of a run that has ended cannot be revoked (%s).",
            error,
            extra={"action": "not_revoked", "task_ids": task_ids},
        )
        return False
    return True


def _has_ended(runtime: Runtime, run_id: str) -> bool:
    with runtime.database.autocommit() as connection:
        run = runs.get(connection, run_id)
    return run is None or RunStatus(run.status).ended
