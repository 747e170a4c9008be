"""How a run ends, and the events that tell of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from inngest_celery import ids
from inngest_celery.store.changes import RunEnd
from inngest_celery.store.events import as_json, route_job
from inngest_celery.store.rows import Event, Job, JobKind, Run, RunStatus

FINISHED = "inngest/function.finished"
FAILED = "inngest/function.failed"
CANCELLED = "inngest/function.cancelled"
INVOKED = "inngest/function.invoked"
TIMER = "inngest/scheduled.timer"

# Characters. Above it, the events of a batch are told of without their data.
_MOST_DATA = 6 * 1024 * 1024

# Runs that these started do not tell that they have finished.
_SILENT = (FAILED, FINISHED)


def end_of(
    run: Run,
    event: Event,
    status: RunStatus,
    output: str,
    *,
    now: int,
    hint_ms: int,
    route_queue: str,
    reason: str = "",
    batch: Sequence[Event] = (),
) -> RunEnd:
    """Say how a run ends.

    Args:
        run: the run.
        event: what triggered it.
        status: completed, failed or cancelled.
        output: JSON text of the result, or of the error.
        now: milliseconds.
        hint_ms: how long the hints of jobs that become due may stay unanswered.
        route_queue: the queue of route jobs.
        reason: why it was cancelled.
        batch: all the events that started it, if they were collected.
    """
    kinds = []
    if status is RunStatus.FAILED and not _of_a_handler(event):
        kinds.append(FAILED)
    if status is RunStatus.CANCELLED:
        kinds.append(CANCELLED)
    if event.name not in _SILENT:
        kinds.append(FINISHED)
    events = [_lifecycle_event(name, run, event, batch or (event,), status, output, now) for name in kinds]
    succeeded = status is RunStatus.COMPLETED
    return RunEnd(
        status=status,
        output=output,
        at=now,
        hint_by=now + hint_ms,
        reason=reason or None,
        events=events,
        routes=[route_job(each.id, now=now, due_at=now, sweep_at=now + hint_ms, queue=route_queue) for each in events],
        has_parent=run.parent_run_id is not None,
        parent_memo=f'{{"data":{output}}}' if succeeded else f'{{"error":{output}}}',
        deliver=delivery(run, now, hint_ms, route_queue),
        route_queue=route_queue,
    )


def _of_a_handler(event: Event) -> bool:
    """Tell whether an event tells that a failure handler failed; if that handler's handler fails too, it ends there."""
    if event.name != FAILED:
        return False
    cause = json.loads(event.data).get("event")
    return isinstance(cause, dict) and cause.get("name") == FAILED


def cancelled_output() -> str:
    return json.dumps({"name": "Cancelled", "message": "function cancelled", "stack": None, "code": "cancelled"})


def _lifecycle_event(
    name: str, run: Run, event: Event, started_by: Sequence[Event], status: RunStatus, output: str, now: int
) -> Event:
    # A row has to fit into what a database takes at once, with the result beside the events.
    whole = sum(len(each.data) for each in started_by) <= _MOST_DATA
    all_of_them = ",".join(as_json(each, with_data=whole or len(started_by) == 1) for each in started_by)
    if status is RunStatus.COMPLETED:
        outcome = f'"result":{output}'
    else:
        error = json.loads(output)
        # The official payload has the text twice, under both names.
        outcome = f'"error":{json.dumps({"error": error.get("message", ""), **error})}'
    told = json.dumps({"status": status.name.capitalize()})
    data = (
        f'{{"function_id":{json.dumps(run.function_id)},"run_id":{json.dumps(run.id)},{outcome},'
        f'"event":{as_json(event)},"events":[{all_of_them}],"_inngest":{told}}}'
    )
    event_id = ids.derived(ids.time_of(run.id), run.id, name)
    return Event(event_id, name, event_id, data, now, now)


def delivery(run: Run, now: int, hint_ms: int, queue: str) -> Job | None:
    """Make the job that hands a run's result to the Celery code that called it, if any did."""
    if run.celery is None:
        return None
    return Job(
        subject_id=run.id,
        key="deliver",
        kind=JobKind.DELIVER,
        name="",
        function_id=run.function_id,
        task_name="inngest.deliver",
        queue=queue,
        created_at=now,
        due_at=now,
        sweep_at=now + hint_ms,
    )
