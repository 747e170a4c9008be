"""The Celery tasks: one for each function, and a few of our own. A message is a hint that names a job."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis
from celery import Celery, Task
from celery.exceptions import Retry

from inngest_celery.crash import crash_point
from inngest_celery.drivers.native.exits import ends_worker
from inngest_celery.engine import batching, deadlines, debouncing, mass_cancelling, pending
from inngest_celery.engine.ticks import TICK_TASK, Ticker
from inngest_celery.flow.places import Place, place_of, place_of_job, run_resources
from inngest_celery.sdk.errors import FunctionNotFoundError
from inngest_celery.store import functions as function_rows
from inngest_celery.store import jobs as job_rows
from inngest_celery.store.conflicts import retried
from inngest_celery.store.events import ROUTE_TASK
from inngest_celery.store.functions import CALL_TASK, FunctionRow
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import Job, JobKind
from inngest_celery.store.runs import REVOKE_TASK
from inngest_celery.worker import bridge, call_options, cancelled, hints, legacy_tasks, losses, sweeper
from inngest_celery.worker.admission import Slot
from inngest_celery.worker.handoff import Handoff, may_share
from inngest_celery.worker.registry import functions_of
from inngest_celery.worker.routing import router_of, terms_of
from inngest_celery.worker.runtime import Runtime, runtime_of
from inngest_celery.worker.tracing import Shown, current_body, trace_in_place

if TYPE_CHECKING:
    from inngest_celery.sdk.function import Function
    from inngest_celery.sdk.legacy import Legacy

logger = logging.getLogger(__name__)

DEADLINE_TASK = "inngest.deadline"
DELIVER_TASK = "inngest.deliver"
# A message whose ETA was rounded comes a little early; waiting is cheaper than sending another one.
_EARLY_MS = 1000
_BEGIN = {JobKind.DEBOUNCE: debouncing.begin, JobKind.BATCH: batching.begin}


class FunctionTask(Task):  # type: ignore[misc]
    """The Celery task of a function. Called by user code it starts a run; as a hint it carries one on."""

    abstract = True
    typing = False
    inngest_function_id = ""
    # What arguments of its calls become.
    inngest_legacy: Legacy | None = None
    Strategy = "inngest_celery.worker.due_calls:strategy"
    Request = "inngest_celery.worker.requests:FunctionRequest"

    def apply_async(
        self,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> Any:
        """Start a run; see :mod:`inngest_celery.worker.bridge`."""
        canvas = {"task_id": task_id, "link": link, "link_error": link_error}
        if self.app.conf.task_always_eager:
            call_options.checked(self, options)
            return super().apply_async(args, kwargs, **canvas, **options)
        return bridge.start_run(self, args, kwargs, {**canvas, **options})


def define_tasks(app: Celery) -> None:
    """Give a Celery app the tasks that belong to no function, and its workers our sweep."""
    own = (CALL_TASK, ROUTE_TASK, TICK_TASK, DEADLINE_TASK, DELIVER_TASK, REVOKE_TASK, mass_cancelling.TASK)
    for name in (*own, *pending.TASKS.values()):
        app.task(
            name=name,
            bind=True,
            shared=False,
            acks_late=True,
            ignore_result=True,
            typing=False,
            Request="inngest_celery.worker.requests:JobRequest",
        )(_run_own)
    legacy_tasks.define(app)
    sweeper.install(app)


def define_function_task(app: Celery, function: Function[Any]) -> None:
    """Make the Celery task of a function, and one for each name that it has taken over from another task."""
    # Time limits are each step's own, and stand in its message.
    of_messages = hints.MESSAGE_OPTIONS | {"soft_time_limit", "time_limit"}
    options = {name: value for name, value in function.celery_options.items() if name not in of_messages}
    app.task(
        name=function.task_name,
        bind=True,
        base=FunctionTask,
        shared=False,
        acks_late=True,
        typing=False,
        inngest_function_id=function.id,
        inngest_legacy=function.legacy,
        **options,
    )(_run_function)
    for legacy in function.replaces:
        # Its messages start runs, and do nothing else: what limits the function's own is not for them.
        app.task(
            name=legacy.name,
            bind=True,
            base=FunctionTask,
            shared=False,
            acks_late=True,
            typing=False,
            inngest_function_id=function.id,
            inngest_legacy=legacy,
            **{name: value for name, value in options.items() if name != "rate_limit"},
        )(_run_function)


def _run_own(self: Task, run: str, step: str) -> Any:
    body = current_body()
    return body() if body is not None else _perform(self, run, step)


def _run_function(self: FunctionTask, *args: Any, **kwargs: Any) -> Any:
    body = current_body()
    if body is not None:
        return body()
    if self.request.is_eager:
        # Seldom wanted, and built on this module.
        from inngest_celery.worker import eager

        return eager.execute(self, args, kwargs)
    if self.request.get(hints.HEADER):
        return _perform(self, **kwargs)
    return bridge.start_run_from_message(self, self.inngest_function_id, bridge.data_of(self, args, kwargs))


def _perform(self: Task, run: str, step: str) -> None:
    """Do the job that a hint names, if it is still there; then what it has let go, as long as a slice lasts."""
    runtime, slot = runtime_of(self.app), None
    limited = self.request.get(hints.FLOW_HEADER)
    if limited:
        function_id, flow, starts = json.loads(limited)
        slot = _take_places(runtime, place_of(run, step, function_id, flow, starts=starts), flow)
        if slot is None:
            return
    try:
        done = _do(runtime, run, step, str(self.request.id), slot)
        if done is None:
            return
        while (job := done.handoff.take()) is not None:
            _do_in_place(runtime, job, done.handoff)
    except BaseException as error:
        # Of a process of a pool its parent does so, who knows why it ends.
        if ends_worker(error) and not runtime.kills_bodies and threading.current_thread() is threading.main_thread():
            losses.give_back_own(runtime)
        raise
    crash_point("before_ack")
    if done.shown.retries:
        raise Retry(str(done.shown.error), exc=done.shown.error)
    if done.shown.error is not None:
        raise done.shown.error


@dataclass(frozen=True, slots=True)
class _Done:
    shown: Shown
    handoff: Handoff


def _do(
    runtime: Runtime, run: str, step: str, task_id: str, slot: Slot | None, handoff: Handoff | None = None
) -> _Done | None:
    """Claim a job and do it; ``None`` if there is nothing to do, or not by us. Its places are given up in any case."""
    try:
        claimed = _claim(runtime, run, step)
        if claimed is None:
            return None
        handoff = handoff or Handoff(runtime, claimed.job)
        if slot is not None:
            slot.handoff = handoff
        error = perform_claimed(runtime, claimed, task_id, slot, handoff)
    except BaseException as end:
        if slot is not None and runtime.kills_bodies and ends_worker(end):
            # Its parent is about to kill it, and gives its places up. To call the next in line from here, and be killed
            # before they are told, would have them wait for nothing.
            slot.held = False
        raise
    finally:
        if slot is not None and slot.held:
            # No checkpoint has given them up: there was nothing to do, or it was done in vain.
            hints.send(runtime, runtime.admission.decline(slot))
    # What failed is recorded by now, and its next attempt planned; this only shows it in logs and in Flower.
    return _Done(Shown(error=error, retries=error is not None and _will_retry(runtime, claimed.job)), handoff)


def _do_in_place(runtime: Runtime, job: Job, handoff: Handoff) -> None:
    """Do a job that was called, as a Celery task of its own within this one."""
    assert job.flow is not None
    slot = _take_places(runtime, place_of_job(job), job.flow)
    if slot is None:
        return

    def body(task_id: str) -> _Done | None:
        return _do(runtime, job.subject_id, job.key, task_id, slot, handoff)

    trace_in_place(
        runtime.app,
        job.task_name,
        shadow=hints.shadow_name(job),
        run_id=job.subject_id,
        key=job.key,
        step=job.name,
        attempt=job.attempt,
        message=job.message,
        body=body,
        show=lambda done: Shown() if done is None else done.shown,
    )


def _take_places(runtime: Runtime, place: Place, flow: str) -> Slot | None:
    """Take the places that a job needs; ``None`` if it has to wait, and will be called, or is in other hands."""
    slot, others = runtime.admission.begin(place, run_resources(flow))
    hints.send(runtime, others)
    return slot


def _claim(runtime: Runtime, subject_id: str, key: str) -> Claimed | None:
    now = runtime.clock.now()
    until = now + runtime.settings.lease_ms
    claimed = job_rows.claim(runtime.database, subject_id, key, owner=runtime.worker_name, now=now, until=until)
    if claimed is not None:
        return claimed
    early = job_rows.milliseconds_early(runtime.database, subject_id, key, now)
    if early is None or early > _EARLY_MS:
        return None
    time.sleep(early / 1000)
    return job_rows.claim(
        runtime.database, subject_id, key, owner=runtime.worker_name, now=now + early, until=until + early
    )


def perform_claimed(
    runtime: Runtime, claimed: Claimed, task_id: str, slot: Slot | None = None, handoff: Handoff | None = None
) -> BaseException | None:
    """Do a claimed job, for which places may be held; give the error of a failed attempt."""
    job = claimed.job
    if job.kind is JobKind.ROUTE:
        _route(runtime, claimed, task_id, handoff)
    elif job.kind is JobKind.CRON:
        _tick(runtime, job)
    elif job.kind in _BEGIN:
        _go_off(runtime, job)
    elif job.kind is JobKind.DEADLINE:
        _cancel_overdue(runtime, job)
    elif job.kind is JobKind.CANCEL:
        _cancel_many(runtime, job)
    elif job.kind is JobKind.DELIVER:
        bridge.deliver(runtime, claimed)
    elif job.kind is JobKind.CELERY:
        legacy_tasks.perform(runtime, claimed)
    elif job.kind is JobKind.REVOKE:
        legacy_tasks.revoke(runtime, job)
    else:
        return runtime.executor.carry_on(claimed, _function_of(runtime, job), task_id, slot)
    return None


def _route(runtime: Runtime, claimed: Claimed, task_id: str, handoff: Handoff | None) -> None:
    job = claimed.job
    assert claimed.event is not None

    def may_keep(function: FunctionRow) -> bool:
        # Even at slice 0: to find a run's first step is no step, so it needs no hop.
        return function.queue == job.queue and may_share(runtime, function.id, function.task_name)

    crash_point("route_before_commit")
    try:
        applied = router_of(runtime, may_keep).route(job, claimed.event)
    except redis.RedisError as error:
        _put_off(runtime, job, error)
        return
    crash_point("route_after_commit")
    for run_id in applied.cancelled:
        cancelled.tell(runtime, run_id)
    hints.publish(runtime, applied.jobs, handoff=handoff)
    if applied.run is None:
        return
    kept = next(job for job in applied.jobs if job.leased_by)
    function = _function_of(runtime, kept)
    runtime.executor.carry_on(Claimed(kept, applied.run, claimed.event), function, task_id)


def _put_off(runtime: Runtime, job: Job, error: redis.RedisError) -> None:
    """Leave an event for later: it is not known whether a rate limit lets it through."""
    logger.warning(
        "Redis does not answer (%s). The event %s waits until its functions' rate limits can be asked.",
        error,
        job.subject_id,
        extra={"action": "flow_unavailable", "jobs": [job.subject_id]},
    )
    job_rows.put_back(runtime.database, job, runtime.clock.now() + runtime.settings.hint_timeout_ms)


def _function_of(runtime: Runtime, job: Job) -> Function[Any] | FunctionRow:
    function: Function[Any] | FunctionRow | None
    if job.task_name == CALL_TASK:
        with runtime.database.autocommit() as connection:
            function = function_rows.get(connection, job.function_id)
    else:
        function = functions_of(runtime.app).get(job.function_id)
    if function is None:
        raise FunctionNotFoundError(
            f"Run {job.subject_id} belongs to the function {job.function_id!r}, which this app does not define. "
            "Bring the function back, or cancel the run."
        )
    return function


def _tick(runtime: Runtime, job: Job) -> None:
    run_latest = runtime.settings.cron_missed == "latest"
    ticker = Ticker(database=runtime.database, terms=terms_of(runtime), run_latest=run_latest)
    with runtime.database.autocommit() as connection:
        function = function_rows.get(connection, job.function_id)
    hints.publish(runtime, ticker.tick(job, function, runtime.clock.now()).jobs)


def _go_off(runtime: Runtime, job: Job) -> None:
    """Start the run of events that were collected, or put off."""
    crash_point("go_off_before_commit")
    applied = pending.go_off(runtime.database, terms_of(runtime), job, runtime.clock.now(), _BEGIN[job.kind])
    crash_point("go_off_after_commit")
    hints.publish(runtime, applied.jobs)


@retried
def _cancel_overdue(runtime: Runtime, job: Job) -> None:
    """Cancel a run that has not begun, or not ended, in time."""
    with runtime.database.transaction() as connection:
        due = deadlines.expire(
            connection,
            job,
            now=runtime.clock.now(),
            hint_ms=runtime.settings.hint_timeout_ms,
            route_queue=runtime.route_queue,
        )
    cancelled.tell(runtime, job.subject_id)
    hints.publish(runtime, due)


def _cancel_many(runtime: Runtime, job: Job) -> None:
    """Go through the runs that are to be cancelled, slice by slice, under the lease of the job."""
    with runtime.executor.leases.hold(job, None):
        more = True
        while more:
            try:
                due, more = _cancel_slice(runtime, job)
            except mass_cancelling.LeaseLost:
                return
            crash_point("cancelled_slice")
            hints.publish(runtime, due)


@retried
def _cancel_slice(runtime: Runtime, job: Job) -> tuple[list[Job], bool]:
    with runtime.database.transaction() as connection:
        return mass_cancelling.carry_on(
            connection, terms_of(runtime), job, runtime.clock.now(), runtime.eyes_of["operator"]
        )


def _will_retry(runtime: Runtime, job: Job) -> bool:
    with runtime.database.autocommit() as connection:
        return job_rows.exists(connection, job.subject_id)
