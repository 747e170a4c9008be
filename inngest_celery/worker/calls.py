"""A call of a limited Celery task, as the message says that a worker executes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from celery import Task

from inngest_celery.engine import policies
from inngest_celery.engine.spec import FunctionSpec
from inngest_celery.store.rows import Job, JobKind
from inngest_celery.worker import messages
from inngest_celery.worker.runtime import Runtime, runtime_of

if TYPE_CHECKING:
    from celery.app.task import Context

_LONGEST_SUBJECT = 64


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of a limited task that a message asks for.

    Attributes:
        variables: what the keys of its limits read.
        job: what it becomes if it has to wait; its message is packed only then.
        called: whether it did wait, and its turn has come.
        again: whether the broker delivers the message once more, and it may have begun before.
    """

    runtime: Runtime
    task: Task
    request: Context
    spec: FunctionSpec
    variables: dict[str, object]
    job: Job
    called: bool
    again: bool


def call_of(task: Task, spec: FunctionSpec) -> Call:
    """Read the message that a task is executed for."""
    runtime, request = runtime_of(task.app), task.request
    now, subject_id, key = runtime.clock.now(), subject_of(str(request.id)), key_of(request)
    variables = variables_of(str(task.name), request.args, request.kwargs)
    called, flow = called_in(request)
    if not called:
        flow = policies.call_flow_of(spec, variables, now)
    job = Job(
        subject_id=subject_id,
        key=key,
        kind=JobKind.TASK,
        name="",
        function_id=spec.id,
        task_name=str(task.name),
        queue=messages.queue_of(request),
        flow=flow,
        created_at=now,
        due_at=now,
        # Entered in line as soon as it is stored; if not even that came about, a sweep does it.
        sweep_at=now + runtime.settings.hint_timeout_ms,
    )
    redelivered = bool((request.delivery_info or {}).get("redelivered"))
    return Call(runtime, task, request, spec, variables, job, called, redelivered and bool(task.acks_late))


def subject_of(task_id: str) -> str:
    """Give the subject of the job that a task's call becomes."""
    # Ids are Celery's, and short, unless somebody gives others.
    fits = len(task_id) <= _LONGEST_SUBJECT and "/" not in task_id
    return task_id if fits else sha256(task_id.encode()).hexdigest()


def key_of(request: Context) -> str:
    """Give the key of that job: of one attempt."""
    # A retry, or what a task is replaced with, comes under the same task id while the attempt before it still ends.
    return f"call.{request.replaced_task_nesting or 0}.{request.retries or 0}"


def called_in(request: Context) -> tuple[bool, str | None]:
    """Tell whether a request was called, and under which limits. A retry carries the words of the attempt before it."""
    words = request.get(messages.CALLED)
    if words is None:
        return False, None
    name, flow = json.loads(words)
    return name == f"{subject_of(str(request.id))}/{key_of(request)}", flow


def variables_of(name: str, args: Any, kwargs: Any) -> dict[str, object]:
    """Give what expressions see of a call: as JSON has it, whatever the message was written in."""
    try:
        plain = json.loads(json.dumps([args, kwargs], default=str, skipkeys=True))
    except (ValueError, RecursionError):
        # It contains itself.
        plain = [[], {}]
    return {"args": plain[0], "kwargs": plain[1], "task": name}
