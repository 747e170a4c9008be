"""A run as a row of its own in Flower: its id is the root and parent of its tasks, whose pages so have where to lead.

It begins when the run's first task does, and ends when the run ends, days later if need be, and whoever ends it. Flower
takes it for a task of the function; what it says was recorded before, and the database does not need it.
"""

from __future__ import annotations

from dataclasses import replace

from celery.utils.saferepr import saferepr

from inngest_celery.store.changes import RunEnd
from inngest_celery.store.rows import Event, Run, RunStatus
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.step_events import TaskEvent

_LONGEST = 1024


def began(runtime: Runtime, name: str, run: Run, event: Event) -> None:
    """Show that a run has begun."""
    if not _wanted(runtime):
        return
    fields = _row(name, run, runtime.eyes.event(event))
    _send(runtime, ("task-received", fields), ("task-started", {"uuid": run.id}))


def ended(runtime: Runtime, name: str, run: Run, event: Event, end: RunEnd) -> None:
    """Show how a run has ended, if this worker has ended it."""
    if not _wanted(runtime):
        return
    # Whole, and not only what has changed: Flower may have come in the middle.
    fields = _row(name, run, runtime.eyes.event(event))
    end = replace(end, output=_seen(runtime, run, event, end))
    if end.status == RunStatus.COMPLETED:
        taken = (end.at - (run.started_at or run.created_at)) / 1000
        _send(runtime, ("task-succeeded", {**fields, "result": _short(end.output), "runtime": taken}))
    elif end.status == RunStatus.FAILED:
        _send(runtime, ("task-failed", {**fields, "exception": _short(end.output), "traceback": None}))
    else:
        cancelled(runtime, run.id)


def cancelled(runtime: Runtime, run_id: str) -> None:
    """Show that a run was cancelled."""
    _send(runtime, ("task-revoked", {"uuid": run_id, "terminated": True, "signum": None, "expired": False}))


def _seen(runtime: Runtime, run: Run, event: Event, end: RunEnd) -> str | None:
    """Give what a run gave as events may have it, which anybody may see who sees Flower."""
    return runtime.eyes.run(replace(run, status=end.status.value, output=end.output), event.name).output


def _row(name: str, run: Run, event: Event) -> dict[str, object]:
    kwargs = {"run": run.id, "event": event.name, "event_id": event.external_id or event.id}
    return {
        "uuid": run.id,
        "name": name,
        "args": "()",
        "kwargs": saferepr(kwargs),
        "root_id": run.id,
        "parent_id": run.parent_run_id,
        "retries": 0,
    }


def _short(text: str | None) -> str:
    whole = text or "null"
    return whole if len(whole) <= _LONGEST else f"{whole[:_LONGEST]}…"


def _wanted(runtime: Runtime) -> bool:
    return runtime.step_events is not None and runtime.step_events.wanted


def _send(runtime: Runtime, *events: TaskEvent) -> None:
    if runtime.step_events is not None and runtime.step_events.wanted:
        runtime.step_events.send(runtime.app, events)
