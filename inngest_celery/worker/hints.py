"""Hints: the Celery messages that name a job. Losing one, or delivering it twice, does no harm."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from celery.utils import uuid

from inngest_celery import trace_context
from inngest_celery.engine.time_limits import limits_of
from inngest_celery.flow.places import starts_run
from inngest_celery.sdk.time_limits import TimeLimits
from inngest_celery.store import jobs as job_rows
from inngest_celery.store.rows import Cost, Job, JobKind
from inngest_celery.worker import messages, spans
from inngest_celery.worker.broker import BROKER_ERRORS, producer_of
from inngest_celery.worker.call_options import carried
from inngest_celery.worker.names import owner_name, shown_arguments, step_name
from inngest_celery.worker.registry import functions_of
from inngest_celery.worker.runtime import Runtime

if TYPE_CHECKING:
    from inngest_celery.sdk.function import Function
    from inngest_celery.worker.admission import Slot
    from inngest_celery.worker.handoff import Handoff

logger = logging.getLogger(__name__)

HEADER = "inngest_hint"
# What limits the job: whoever gets the message asks for its places before touching the database.
FLOW_HEADER = "inngest_flow"
# Those of a function's Celery options that belong to each message. The queue is the job's own.
MESSAGE_OPTIONS = frozenset({"compression", "exchange", "priority", "queue", "routing_key"})


def publish(
    runtime: Runtime,
    jobs: Iterable[Job],
    ends: Slot | None = None,
    *,
    run_ended: bool = False,
    costs: Sequence[Cost] = (),
    handoff: Handoff | None = None,
) -> None:
    """Send a hint for every job that is due within the horizon, that no worker holds, and that flow control lets go.

    Args:
        jobs: those that may be due.
        ends: the places that this process gives up now; whoever waits for them gets a hint, too.
        run_ended: whether the run that they were taken for has ended.
        costs: what its steps have cost, as it was recorded.
        handoff: takes a job that this task can go on with, instead of a hint; that of the places, if left out.

    When the broker does not answer, the jobs stay rows, a log line says so, and a sweep sends the hints later.
    """
    if not runtime.sends_hints:
        return
    now = runtime.clock.now()
    wanted = [job for job in jobs if job.leased_by is None and job.due_at <= now + runtime.settings.horizon_ms]
    if ends is not None or any(job.flow for job in wanted):
        wanted = runtime.admission.admit(wanted, ends, run_ended=run_ended, costs=costs)
    handoff = handoff or (ends.handoff if ends is not None else None)
    if handoff is not None:
        wanted = [job for job in wanted if not handoff.offer(job)]
    send(runtime, wanted)


def send(runtime: Runtime, wanted: Sequence[Job]) -> None:
    """Send a hint for each of these, whatever limits them."""
    now = runtime.clock.now()
    for position, job in enumerate(wanted):
        try:
            _send(runtime, job, now)
        except BROKER_ERRORS as error:
            _leave_to_sweep(runtime, wanted[position:], error)
            return


def _send(runtime: Runtime, job: Job, now: int) -> None:
    if job.kind is JobKind.TASK:
        messages.send_again(runtime.app, job)
        return
    delay = (job.due_at - now) / 1000
    task_id = uuid()
    options = _message_options(runtime, job)
    trace = trace_context.current()
    # A run's own place in its trace, where it has one, else that of whoever sends this.
    headers = {**(trace.headers if trace is not None else {}), **options.pop("headers", {}), HEADER: True}
    if job.flow is not None:
        headers[FLOW_HEADER] = json.dumps([job.function_id, job.flow, starts_run(job)])
    if job.kind is not JobKind.ROUTE:
        # Flower then shows the steps of a run as its children.
        options |= {"root_id": job.subject_id, "parent_id": job.subject_id}
    with spans.inside(headers), producer_of(runtime.app) as producer:
        runtime.app.send_task(
            job.task_name,
            kwargs={"run": job.subject_id, "step": job.key},
            kwargsrepr=repr(shown_arguments(job.subject_id, job.name)),
            retries=job.attempt,
            task_id=task_id,
            queue=job.queue,
            shadow=shadow_name(job),
            countdown=delay if delay > 0 else None,
            headers=headers,
            ignore_result=True,
            retry=False,
            producer=producer,
            **options,
        )


def _message_options(runtime: Runtime, job: Job) -> dict[str, Any]:
    function = functions_of(runtime.app).get(job.function_id)
    given = function.celery_options if function is not None else {}
    of_the_function = {name: given[name] for name in MESSAGE_OPTIONS - {"queue"} if name in given}
    return {**of_the_function, **_time_limits(job, function), **carried(job.message)}


def _time_limits(job: Job, function: Function[Any] | None) -> dict[str, Any]:
    """Give what Celery is to keep for one message: of a step, or of the function's own code.

    The soft limit of a step is its body's alone, and kept by whoever executes it.
    """
    of_step = limits_of(job)
    if of_step is not None:
        limits = TimeLimits(of_step.hard)
    elif function is not None and function.task_name == job.task_name:
        limits = function.time_limits
    else:
        return {}
    return {
        name: value
        for name, value in (("time_limit", limits.hard), ("soft_time_limit", limits.soft))
        if value is not None
    }


def shadow_name(job: Job) -> str:
    """Give the name that logs and Flower show for a job."""
    name = owner_name(job.function_id, job.task_name)
    if job.kind is JobKind.START:
        # Its bare name is that of the runs themselves.
        return f"{name} · (start)"
    return step_name(name, job.name) if job.name else name


def _leave_to_sweep(runtime: Runtime, jobs: Sequence[Job], error: Exception) -> None:
    logger.warning(
        "The broker does not take messages (%s). %d job(s) are stored and will be sent by a worker's sweep.",
        error,
        len(jobs),
        extra={"action": "hint_failed", "jobs": [(job.subject_id, job.key) for job in jobs]},
    )
    job_rows.reset_hint(runtime.database, jobs, runtime.clock.now())
