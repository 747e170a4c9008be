"""What is in somebody's hands, or not due yet: sleeps, waits, retries, starts to come."""

from __future__ import annotations

import json

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.engine.durations import duration
from inngest_celery.engine.lifecycle import INVOKED
from inngest_celery.opcodes import Opcode
from inngest_celery.store import schema
from inngest_celery.store.asked import AskedTask, asked_task
from inngest_celery.store.jobs import HELD_MS
from inngest_celery.store.rows import Job, JobKind, RunStatus, Wait
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.why.reason import Reason
from inngest_celery.worker.why.situation import Situation

_LATE_MS = 10_000


def reason_for(runtime: Runtime, situation: Situation | None, job: Job, now: int) -> Reason | None:
    """Say why a job is not to be begun now; ``None`` if it is.

    Args:
        situation: its run's; ``None`` for an event's.
        now: milliseconds.
    """
    if job.leased_by is not None and job.leased_until is not None:
        return _in_hands(runtime, job, job.leased_by, job.leased_until, now)
    if job.due_at >= HELD_MS:
        return Reason(
            code="function_paused",
            text=f"The function {job.function_id} is paused, and holds its new runs.",
            advice=f"Let them start: inngest-celery functions resume {job.function_id}",
        )
    if job.sweep_at < now - _patience(runtime):
        return _overdue(job, now)
    if situation is not None and job.due_at > now:
        return _not_due(runtime, situation, job)
    return None


def nothing(run_id: str) -> Reason:
    """Say that a run has no job: that is between two questions, or never."""
    return Reason(
        code="overdue",
        text="Nothing is planned for it.",
        advice=f"Ask once more. If that stays so, cancel it: inngest-celery runs cancel {run_id}",
    )


def _in_hands(runtime: Runtime, job: Job, worker: str, until: int, now: int) -> Reason:
    what = f"step {job.name}" if job.name else "the routing of the event" if job.kind is JobKind.ROUTE else "its code"
    if until <= now:
        return Reason(
            code="worker_lost",
            text=f"Worker {worker} had {what} in hands, and has not been heard of for "
            f"{duration(now - until + runtime.settings.lease_ms)}.",
            advice="Another worker takes it over by itself. If none does, start one, and run: inngest-celery doctor",
            step=job.name,
            worker=worker,
        )
    # Nobody notes when a job was taken, but for one that was made in the hands of the worker that goes on with it.
    since = job.created_at if job.hints == 0 else until - runtime.settings.lease_ms
    about = "it began" if job.hints == 0 else "it was last heard of"
    ago = f"{duration(max(now - since, 0))} ago"
    return Reason(
        code="executing",
        text=f"Worker {worker} executes {what}: {about} {ago}, and its lease lasts for another "
        f"{duration(until - now)}, prolonged as long as it lives.",
        advice="It goes on when the code returns. If that takes too long, look at what the code does.",
        step=job.name,
        worker=worker,
    )


def _overdue(job: Job, now: int) -> Reason:
    return Reason(
        code="overdue",
        text=f"A worker should have looked at it {duration(now - job.sweep_at)} ago, and none has.",
        advice="Start a worker of this app: each sweeps. If some run, see what is wrong: inngest-celery doctor",
        step=job.name,
        queue=job.queue,
    )


def _patience(runtime: Runtime) -> int:
    return round(runtime.settings.sweep_interval * 10_000) + _LATE_MS


def _not_due(runtime: Runtime, situation: Situation, job: Job) -> Reason:
    wait = situation.waits.get(job.key)
    asked = asked_task(job)
    if asked is not None:
        return _waiting_for_task(asked, job)
    if wait is not None:
        is_call = wait.kind == Opcode.INVOKE.value
        return _invoking(runtime, situation, wait, job) if is_call else _waiting(wait, job)
    if job.attempt > 0:
        return _retrying(situation, job)
    if job.kind is JobKind.SLEEP:
        return Reason("sleeping", f"It sleeps in step {job.name}.", _BY_ITSELF, step=job.name, next_at=job.due_at)
    return Reason(
        code="scheduled",
        text="Its event is dated ahead, so it starts later.",
        advice=f"It starts by itself. For a start now, cancel it (inngest-celery runs cancel {job.subject_id}) and "
        "send the event without ts.",
        next_at=job.due_at,
    )


_BY_ITSELF = "It goes on by itself."


def _retrying(situation: Situation, job: Job) -> Reason:
    failed = situation.attempts.get(job.key) or situation.attempts.get("")
    error = json.loads(failed.error) if failed else {}
    what = f"Step {job.name}" if job.name else "The function"
    told = f": {error.get('name')}: {error.get('message')}" if error else ""
    return Reason(
        code="retrying",
        text=f"{what} failed at attempt {job.attempt}, and waits for attempt {job.attempt + 1}{told}",
        advice="It is tried again by itself. Correct the cause before then.",
        step=job.name,
        next_at=job.due_at,
    )


def _waiting(wait: Wait, job: Job) -> Reason:
    condition = f" with {wait.expression}" if wait.expression else ""
    return Reason(
        code="waiting_for_event",
        text=f"It waits in step {wait.name} for an event {wait.event_name}{condition}.",
        advice=f"Send that event (async is the event): inngest-celery send {wait.event_name} --data … . When the time "
        "is up, the step gives nothing.",
        step=wait.name,
        next_at=job.due_at,
    )


def _waiting_for_task(asked: AskedTask, job: Job) -> Reason:
    return Reason(
        code="waiting_for_task",
        text=f"It waits in step {job.name} for {asked}.",
        advice=f"Look at it in Flower, or with: celery inspect query_task {asked.id}. If no worker has it, see that "
        f"some consume the queue {asked.queue}. Should its callback get lost, its result is found at the time above.",
        step=job.name,
        next_at=job.due_at,
        queue=asked.queue,
    )


def _invoking(runtime: Runtime, situation: Situation, wait: Wait, job: Job) -> Reason:
    run_id = situation.run.id
    # The same step always makes the same event.
    event_id = ids.derived(ids.time_of(run_id), run_id, wait.key, INVOKED)
    run = schema.run
    query = sa.select(run.c.id, run.c.function_id, run.c.status).where(run.c.event_id == event_id)
    with runtime.database.autocommit() as connection:
        child = connection.execute(query).first()
    if child is None:
        text, ask = "whose run is not there yet", event_id
    else:
        text, ask = f"{child.function_id}, whose run {child.id} is {RunStatus(child.status).name.lower()}", child.id
    return Reason(
        code="invoking",
        text=f"It waits in step {wait.name} for the function that it has called, {text}.",
        advice=f"See what that waits for: inngest-celery why {ask}",
        step=wait.name,
        next_at=job.due_at,
        run_id=None if child is None else child.id,
    )
