"""Between Celery's calls and runs: ``delay()`` and a canvas start a run, and get its result when it ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from celery import Task, states
from celery.app.task import Context as RequestContext
from celery.backends.base import DisabledBackend
from celery.canvas import Signature
from celery.exceptions import Ignore, TaskRevokedError
from celery.result import AsyncResult
from celery.utils import uuid
from celery.utils.time import maybe_make_aware

from inngest_celery import ids
from inngest_celery.engine.lifecycle import INVOKED
from inngest_celery.sdk.errors import RunSkippedError, StepError
from inngest_celery.sdk.event import Event
from inngest_celery.store import jobs as job_rows
from inngest_celery.store import runs
from inngest_celery.store.changes import RunEnd
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import Run, RunStatus
from inngest_celery.worker import call_options, due_calls, replies
from inngest_celery.worker.broker import BROKER_ERRORS
from inngest_celery.worker.outbox import Outbox
from inngest_celery.worker.runtime import Runtime, runtime_of

if TYPE_CHECKING:
    from inngest_celery.worker.tasks import FunctionTask

logger = logging.getLogger(__name__)

# What a caller or a canvas attaches to a call, and what is needed again when the result is there.
_CALL = (
    *("chain", "link", "link_error", "chord", "group_id", "group_index", "root_id", "parent_id", "ignore_result"),
    *replies.KEPT,
)


def start_run(task: FunctionTask, args: Any, kwargs: Any, options: Mapping[str, Any]) -> AsyncResult:
    """Start a run for ``delay()``, ``apply_async()`` or the first task of a canvas.

    The call is an event and a job in the database; nothing depends on a message.

    Returns:
        The Celery result. Its id is the run's id, unless the caller or the canvas chose one.

    Raises:
        FunctionConfigInvalidError: an option belongs to a message, and a run is none (``celery_option_invalid``).
    """
    message = call_options.checked(task, options)
    runtime = runtime_of(task.app)
    run_id = ids.new(runtime.clock.now())
    task_id = options.get("task_id") or run_id
    ignored = call_options.ignores_result(task, options.get("ignore_result"))
    reply = {} if ignored else replies.of_call(task.app, str(task_id), options.get("reply_to"))
    call = _kept({**options, **reply, "ignore_result": ignored or None})
    due_at = _due_at(runtime, options)
    data = data_of(task, args or (), kwargs or {})
    invoke(runtime, task, task.inngest_function_id, run_id, str(task_id), data, call, message, ts=due_at)
    result = task.app.AsyncResult(str(task_id))
    # As for any task: whoever asks for a result that is not kept gets None at once, and does not wait.
    result.ignored = ignored
    return result


def start_run_from_message(task: Task, function_id: str, data: dict[str, Any]) -> NoReturn:
    """Start a run for a message that other code sent to a task by its name.

    Args:
        task: the function's own, or one whose calls it takes over.
        function_id: the function's.
        data: the event's, made of the message's arguments.

    Raises:
        Ignore: always, once the run is stored: Celery then leaves the result to the end of the run.
    """
    request = task.request
    canvas = {
        "chain": request.chain,
        "link": request.callbacks,
        "link_error": request.errbacks,
        "chord": request.chord,
        "group_id": request.group,
        "group_index": request.get("group_index"),
        "root_id": request.root_id,
        "parent_id": request.parent_id,
        "ignore_result": call_options.ignores_result(task, request.ignore_result) or None,
        **replies.of_request(task.app, request),
    }
    runtime, message = runtime_of(task.app), call_options.of_request(request)
    run_id = ids.new(runtime.clock.now())
    due_at = _due_at(runtime, {"eta": request.get(due_calls.DUE)})
    invoke(runtime, task, function_id, run_id, str(request.id), data, _kept(canvas), message, ts=due_at)
    raise Ignore


def _kept(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give what of a call has to be kept for its end. A task's index in its group may well be 0."""
    return {name: _plain(options[name]) for name in _CALL if options.get(name) not in (None, [], ())}


def _due_at(runtime: Runtime, options: Mapping[str, Any]) -> int:
    """Give when a call with a countdown or an ETA is due, in milliseconds; 0 for one that is due now."""
    eta, countdown = options.get("eta"), options.get("countdown")
    if countdown is not None:
        return runtime.clock.now() + round(float(countdown) * 1000)
    if eta is None:
        return 0
    if isinstance(eta, str):
        eta = datetime.fromisoformat(eta)
    aware: datetime = maybe_make_aware(eta, runtime.app.timezone)
    return round(aware.timestamp() * 1000)


def invoke(
    runtime: Runtime,
    task: Task,
    function_id: str,
    run_id: str,
    task_id: str,
    data: Mapping[str, Any],
    call: dict[str, Any],
    message: dict[str, Any],
    *,
    ts: int = 0,
) -> None:
    """Store a call of a function, and have it routed.

    Args:
        task: the task that was called.
        run_id: the id that the run is to have.
        task_id: the id under which Celery knows the call.
        call: what is needed when the run has ended, see ``_CALL``.
        message: what the messages of the run carry, see ``call_options``.
        ts: when it is due, in milliseconds; 0 for now.
    """
    celery = {"task_id": task_id, "task": task.name, **call, **({"message": message} if message else {})}
    data = {**data, "_inngest": {"fn_id": function_id, "run_id": run_id, "celery": celery}}
    # The task id is the idempotency key: a message that is delivered again starts nothing new.
    event = Event(name=INVOKED, data=data, id=task_id, ts=ts)
    Outbox(runtime).send([event], message=json.dumps(message) if message else None)


def data_of(task: FunctionTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Give the data of the event for a call of a function's task, under whatever name it was called.

    Raises:
        EventInvalidError: the function does not take these arguments.
    """
    assert task.inngest_legacy is not None
    return task.inngest_legacy.data_of(args, kwargs)


def _plain(value: Any) -> Any:
    """Signatures are dicts with methods; as JSON they are dicts."""
    return json.loads(json.dumps(value, default=dict))


def deliver(runtime: Runtime, claimed: Claimed) -> None:
    """Hand a run's result to whoever called it through Celery: result backend, callbacks, chain, chord.

    The job ends afterwards: a crash in between delivers again, which for callbacks is Celery's own guarantee.
    """
    assert claimed.run is not None
    with runtime.database.autocommit() as connection:
        run = runs.get(connection, claimed.run.id)
    assert run is not None
    assert run.celery is not None
    _deliver(runtime, run, json.loads(run.celery))
    with runtime.database.transaction() as connection:
        job_rows.end(connection, claimed.job)


def _deliver(runtime: Runtime, run: Run, call: dict[str, Any]) -> None:
    app = runtime.app
    output = json.loads(run.output or "null")
    task_id = call["task_id"]
    request = RequestContext(
        id=task_id,
        task=call["task"],
        args=(),
        kwargs={},
        callbacks=None,
        errbacks=_listed(call.get("link_error")),
        chain=call.get("chain"),
        chord=call.get("chord"),
        group=call.get("group_id"),
        group_index=call.get("group_index"),
        reply_to=call.get("reply_to"),
        correlation_id=call.get("correlation_id"),
        root_id=call.get("root_id") or task_id,
        parent_id=call.get("parent_id"),
        is_eager=False,
    )
    keep = not call.get("ignore_result")
    if run.status == RunStatus.COMPLETED:
        _call_back(app, call, output, task_id)
        app.backend.mark_as_done(task_id, output, request=request, store_result=keep)
    elif run.status == RunStatus.CANCELLED:
        app.backend.mark_as_revoked(task_id, run.reason or "cancelled", request=request, store_result=keep)
    else:
        keep = keep or app.tasks[call["task"]].store_errors_even_if_ignored
        app.backend.mark_as_failure(task_id, as_exception(output), request=request, store_result=keep)
    if keep and task_id != run.id:
        store_result(runtime, run.id, run.status, output, run.reason)


def _call_back(app: Any, call: dict[str, Any], output: Any, task_id: str) -> None:
    options = {"parent_id": task_id, "root_id": call.get("root_id") or task_id}
    for callback in _listed(call.get("link")):
        Signature.from_dict(callback, app=app).apply_async((output,), **options)
    chain = _listed(call.get("chain"))
    if chain:
        following = Signature.from_dict(chain[-1], app=app)
        following.apply_async((output,), chain=chain[:-1], task_id=following.id or uuid(), **options)


def _listed(value: Any) -> list[Any]:
    if not value:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def as_exception(output: Any) -> Exception:
    """Give a failed run's stored error as the exception that ``AsyncResult.get()`` raises."""
    error = output if isinstance(output, dict) else {}
    if error.get("name") == RunSkippedError.__name__:
        return RunSkippedError(str(error.get("message", "")), str(error.get("code")))
    return StepError(str(error.get("message", "")), str(error.get("name", "Error")), error.get("stack"))


def show_result(runtime: Runtime, task_name: str, run_id: str, end: RunEnd) -> None:
    """Let ``AsyncResult(run_id)`` of a run that no Celery code waits for find its result, if its task keeps results.

    The database has the result; losing this copy with the worker loses nothing.
    """
    if runtime.app.tasks[task_name].ignore_result or isinstance(runtime.app.backend, DisabledBackend):
        return
    try:
        store_result(runtime, run_id, end.status, json.loads(end.output or "null"))
    except BROKER_ERRORS as error:
        logger.warning("The result backend does not take results: %s", error, extra={"action": "result_not_shown"})


def store_result(runtime: Runtime, run_id: str, status: int, output: Any, reason: str | None = None) -> None:
    """Put a run's result where ``AsyncResult(run_id)`` looks."""
    if status == RunStatus.COMPLETED:
        runtime.app.backend.store_result(run_id, output, states.SUCCESS)
    elif status == RunStatus.CANCELLED:
        runtime.app.backend.store_result(run_id, TaskRevokedError(reason or "cancelled"), states.REVOKED)
    else:
        runtime.app.backend.store_result(run_id, as_exception(output), states.FAILURE)
