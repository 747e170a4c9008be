"""Why a run does not go on: what it waits for, and what would change that."""

from __future__ import annotations

from inngest_celery.engine.starting import START_DEADLINE
from inngest_celery.engine.viewing import Eyes
from inngest_celery.store.jobs import HELD_MS
from inngest_celery.store.rows import Job, JobKind, RunStatus
from inngest_celery.worker.runs import RunInfo, Runs, seen
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.why import ended, in_line, message, resting
from inngest_celery.worker.why.reason import Explanation, Reason
from inngest_celery.worker.why.situation import Situation, read, route_job_of

# The most telling comes first: what is broken, then what somebody can change, then what passes by itself.
_ORDER = (
    "overdue",
    "worker_lost",
    "redis_missing",
    "redis_unreachable",
    "limits_lost",
    "broker_unreachable",
    "queue_without_worker",
    "unanswered",
    "function_paused",
    "in_line",
    "not_in_line",
    "announced",
    "not_announced",
    "retrying",
    "executing",
    "invoking",
    "waiting_for_task",
    "waiting_for_event",
    "sleeping",
    "scheduled",
    "deadline",
)


def explain(runtime: Runtime, run_id: str, timeout: float, eyes: Eyes | None = None) -> Explanation:
    """Say what a run waits for.

    Args:
        runtime: of the app.
        run_id: the run, or an event that has started one, or is still to be routed.
        timeout: seconds to wait for the answers of workers, where it matters who takes messages; 0 asks none.
        eyes: whose they are that it is said to; if left out, those of somebody who may only look.

    Raises:
        RunNotFoundError: there is no such run.
        ManyRunsError: the event has started several.
    """
    now, eyes = runtime.clock.now(), eyes or runtime.eyes
    route = route_job_of(runtime, run_id)
    if route is not None:
        return Explanation(None, now, [_of_a_job(runtime, None, route, now, timeout)])
    return _of_a_run(runtime, seen(eyes, Runs(runtime.app).get(run_id)), now, timeout, eyes)


def _of_a_run(runtime: Runtime, run: RunInfo, now: int, timeout: float, eyes: Eyes) -> Explanation:
    if run.ended:
        return Explanation(run, now, [ended.reason_for(run)])
    situation = read(runtime.database, run, now, eyes)
    reasons = [_of_a_job(runtime, situation, job, now, timeout) for job in situation.jobs if _carries_on(job)]
    if not reasons:
        # It has ended, or come to its next step, between two questions.
        run = seen(eyes, Runs(runtime.app).get(run.id))
        reasons = [ended.reason_for(run)] if run.ended else [resting.nothing(run.id)]
    reasons += [_of_a_deadline(job) for job in situation.jobs if _ends_it(job, run)]
    return Explanation(run, now, sorted(reasons, key=lambda reason: _ORDER.index(reason.code)))


def _of_a_job(runtime: Runtime, situation: Situation | None, job: Job, now: int, timeout: float) -> Reason:
    found = resting.reason_for(runtime, situation, job, now)
    if found is None and situation is not None and job.flow is not None:
        found = in_line.reason_for(runtime, situation, job, now, timeout)
    return found or message.reason_for(runtime, job, now, timeout)


def _carries_on(job: Job) -> bool:
    return job.kind not in (JobKind.DEADLINE, JobKind.DELIVER)


def _ends_it(job: Job, run: RunInfo) -> bool:
    has_begun = job.key == START_DEADLINE and run.status is not RunStatus.SCHEDULED
    return job.kind is JobKind.DEADLINE and job.due_at < HELD_MS and not has_begun


def _of_a_deadline(job: Job) -> Reason:
    what = "started" if job.key == START_DEADLINE else "ended"
    return Reason(
        code="deadline",
        text=f"It is cancelled if it has not {what} in time (timeouts of the function).",
        advice="Give the function a longer time, or none; that concerns runs that start from then on.",
        next_at=job.due_at,
    )
