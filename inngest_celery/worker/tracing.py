"""Runs a step or a job as a Celery task of its own, in place: own id, run as root, name, signals, log lines, events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from celery import Celery
from celery.app import trace as celery_trace
from celery.exceptions import Retry
from celery.utils import uuid
from celery.utils.saferepr import saferepr

from inngest_celery.worker.call_options import carried
from inngest_celery.worker.names import shown_arguments
from inngest_celery.worker.registry import functions_of
from inngest_celery.worker.runtime import runtime_of
from inngest_celery.worker.step_events import TaskEvent

_in_place = threading.local()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shown:
    """How Celery is to show the end of a task.

    Attributes:
        result: what it gave.
        error: what it failed with.
        retries: whether another attempt follows.
        stack: the error's traceback, for events.
    """

    result: object = None
    error: BaseException | None = None
    retries: bool = False
    stack: str | None = None


def current_body() -> Callable[[], object] | None:
    """Give the body that the tracer was started for, once; ``None`` in a task that came as a message."""
    body: Callable[[], object] | None = getattr(_in_place, "body", None)
    _in_place.body = None
    return body


def trace_in_place(
    app: Celery,
    task_name: str,
    *,
    shadow: str,
    run_id: str,
    key: str,
    step: str,
    attempt: int,
    message: str | None,
    body: Callable[[str], T],
    show: Callable[[T], Shown],
) -> T:
    """Run something under Celery's own tracer.

    Args:
        app: the Celery app.
        task_name: the function's task.
        shadow: the name to show.
        run_id: the run, root and parent of the task.
        key: the step.
        step: its whole name, to be shown.
        attempt: zero-based; Celery calls it ``retries``.
        message: what a message of its own would carry, see ``worker.call_options``.
        body: does it, given the task's id.
        show: says how it ended.

    Returns:
        What the body gave. If it failed, Celery has seen the exception; a ``Retry`` if another attempt follows.

    Raises:
        RuntimeError: the body raised what it should have shown. Celery has logged it.
    """
    task_id = uuid()
    result: list[T] = []
    ends: list[Shown] = []

    def run() -> object:
        result.append(body(task_id))
        end = show(result[0])
        ends.append(end)
        return _given(end)

    task, given = app.tasks[task_name], carried(message)
    headers, function = given.get("headers", {}), functions_of(app).get(getattr(task, "inngest_function_id", ""))
    own = function.celery_options if function is not None else {}
    request = {
        **headers,
        "id": task_id,
        "root_id": run_id,
        "parent_id": run_id,
        "shadow": shadow,
        "is_eager": True,
        "retries": attempt,
        "args": (),
        "kwargs": {"run": run_id, "step": key},
        "delivery_info": {"is_eager": True, "priority": given.get("priority", own.get("priority"))},
        "hostname": None,
        "callbacks": None,
        "errbacks": None,
        "chain": None,
        "chord": None,
        # None would have Celery look for headers among all of these.
        "headers": headers,
    }
    _in_place.body = run
    with _events_of(app, request, step, ends):
        _tracer_of(app, task)(task_id, (), {"run": run_id, "step": key}, request)
    if not result:
        raise RuntimeError(f"{shadow} did not come to an end that can be shown")
    return result[0]


@contextmanager
def _events_of(app: Celery, request: dict[str, Any], step: str, ends: list[Shown]) -> Iterator[None]:
    """Send a task's events, if anybody wants them: the eager tracer sends none."""
    events = runtime_of(app).step_events
    if events is None or not events.wanted:
        yield
        return
    task_id = request["id"]
    received = {name: request[name] for name in ("root_id", "parent_id", "retries")}
    shown = shown_arguments(request["root_id"], step)
    received |= {"name": request["shadow"], "args": "()", "kwargs": repr(shown)}
    events.send(app, [("task-received", {"uuid": task_id, **received}), ("task-started", {"uuid": task_id})])
    began = time.monotonic()
    yield
    for end in ends:
        kind, fields = _ending(end)
        events.send(app, [(kind, {"uuid": task_id, "runtime": time.monotonic() - began, **fields})])


def _ending(end: Shown) -> TaskEvent:
    if end.error is None:
        return "task-succeeded", {"result": saferepr(end.result)}
    return "task-retried" if end.retries else "task-failed", {
        "exception": saferepr(end.error),
        "traceback": end.stack,
    }


def _given(end: Shown) -> object:
    if end.error is None:
        return end.result
    if end.retries:
        raise Retry(str(end.error), exc=end.error)
    raise end.error


def _tracer_of(app: Celery, task: Any) -> Any:
    tracer = task.__dict__.get("inngest_tracer")
    if tracer is None:
        # Looked up late: what watches tasks (Sentry, say) puts its own in place of it.
        tracer = celery_trace.build_tracer(task.name, task, eager=True, propagate=False, app=app)
        task.__dict__["inngest_tracer"] = tracer
    return tracer
