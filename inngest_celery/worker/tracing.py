"""Runs a kept step as a Celery task of its own, in place: own id, run as root, name, signals, log lines and events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.app.trace import build_tracer
from celery.exceptions import Retry
from celery.utils import uuid
from celery.utils.saferepr import saferepr

from inngest_celery.engine.report import Outcome
from inngest_celery.worker.runtime import runtime_of
from inngest_celery.worker.step_events import TaskEvent

_in_place = threading.local()


def current_body() -> Callable[[], object] | None:
    """Give the body that the tracer was started for, once; ``None`` in a task that came as a message."""
    body: Callable[[], object] | None = getattr(_in_place, "body", None)
    _in_place.body = None
    return body


def trace_in_place(
    app: Celery, task_name: str, *, shadow: str, run_id: str, key: str, attempt: int, body: Callable[[str], Outcome]
) -> Outcome:
    """Run a step's body under Celery's own tracer.

    Args:
        app: the Celery app.
        task_name: the function's task.
        shadow: the name to show.
        run_id: the run, root and parent of the task.
        key: the step.
        attempt: zero-based; Celery calls it ``retries``.
        body: runs the step, given the task's id.

    Returns:
        What the body gave. If the step failed, Celery has seen its exception; a ``Retry`` if another attempt follows.
    """
    task_id = uuid()
    result: list[Outcome] = []

    def run() -> object:
        outcome = body(task_id)
        result.append(outcome)
        return shown(outcome)

    task = app.tasks[task_name]
    request = {
        "id": task_id,
        "root_id": run_id,
        "parent_id": run_id,
        "shadow": shadow,
        "is_eager": True,
        "retries": attempt,
        "args": (),
        "kwargs": {"run": run_id, "step": key},
        "delivery_info": {"is_eager": True},
        "hostname": None,
        "callbacks": None,
        "errbacks": None,
        "chain": None,
        "chord": None,
        "headers": None,
    }
    _in_place.body = run
    with _events_of(app, request, result):
        _tracer_of(app, task)(task_id, (), {"run": run_id, "step": key}, request)
    if not result:
        raise RuntimeError(f"Celery's tracer did not run the step {shadow}")
    return result[0]


@contextmanager
def _events_of(app: Celery, request: dict[str, Any], result: list[Outcome]) -> Iterator[None]:
    """Send a task's events, if anybody wants them: the eager tracer sends none."""
    events = runtime_of(app).step_events
    if events is None or not events.wanted:
        yield
        return
    task_id = request["id"]
    received = {name: request[name] for name in ("root_id", "parent_id", "retries")}
    received |= {"name": request["shadow"], "args": "()", "kwargs": repr(request["kwargs"])}
    events.send(app, [("task-received", {"uuid": task_id, **received}), ("task-started", {"uuid": task_id})])
    began = time.monotonic()
    yield
    for outcome in result:
        kind, fields = _ending(outcome)
        events.send(app, [(kind, {"uuid": task_id, "runtime": time.monotonic() - began, **fields})])


def _ending(outcome: Outcome) -> TaskEvent:
    if outcome.error is None:
        return "task-succeeded", {"result": saferepr(outcome.memo)}
    kind = "task-retried" if outcome.memo is None else "task-failed"
    stack = outcome.failure.stack if outcome.failure is not None else None
    return kind, {"exception": saferepr(outcome.error), "traceback": stack}


def shown(outcome: Outcome) -> object:
    """Give what Celery shows as the result of a step; raise what it shows as its failure."""
    if outcome.error is None:
        return outcome.memo
    if outcome.memo is None:
        raise Retry(str(outcome.error), exc=outcome.error)
    raise outcome.error


def _tracer_of(app: Celery, task: Any) -> Any:
    tracer = task.__dict__.get("inngest_tracer")
    if tracer is None:
        tracer = build_tracer(task.name, task, eager=True, propagate=False, app=app)
        task.__dict__["inngest_tracer"] = tracer
    return tracer
