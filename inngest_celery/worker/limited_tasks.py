"""Limits on ordinary Celery tasks: taken where a worker is about to execute one, and given up when it has.

A call that finds room costs a round trip to Redis before it and one after it: no row, no second message. One that finds
none becomes a job, which keeps its message and stands in line; the message itself is acknowledged. When the job's turn
comes, whoever calls it sends the message again, and the worker that gets it deletes the job: of two messages for one
call, one does. Whether a call that has begun is done again when its worker dies is up to the broker, as it is for any
Celery task (``acks_late``).
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import redis
from celery import Celery, Task, signals
from celery.exceptions import Ignore
from sqlalchemy import exc

from inngest_celery.crash import crash_point
from inngest_celery.engine.spec import read_spec
from inngest_celery.flow.places import place_of, place_of_job
from inngest_celery.sdk.errors import RateLimitedError
from inngest_celery.sdk.limits import TASK_PREFIX
from inngest_celery.store import jobs as job_rows
from inngest_celery.store.limits import find_jobs
from inngest_celery.store.rows import Job
from inngest_celery.worker import hints, messages
from inngest_celery.worker.admission import Slot
from inngest_celery.worker.calls import Call, call_of, called_in, key_of, subject_of
from inngest_celery.worker.rates import Rates
from inngest_celery.worker.registry import limited_tasks_of
from inngest_celery.worker.runtime import Runtime, runtime_of
from inngest_celery.worker.task_bodies import surround

if TYPE_CHECKING:
    from celery.app.task import Context

    from inngest_celery.sdk.limits import LimitedTask

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ORIGINAL = "inngest_original_run"
_LONGEST_PAUSE_S = 5.0
_UNANSWERED = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)


def limit_tasks(app: Celery) -> None:
    """Make a worker keep the limits of its app's tasks. Before its pool starts: the children are to have them too.

    Raises:
        FunctionConfigInvalidError: see :func:`inngest_celery.worker.registry.limited_tasks_of`.
    """
    for limited in limited_tasks_of(app).values():
        _limit(app.tasks[limited.name], limited)
    signals.task_prerun.connect(_take_unlimited)
    signals.task_revoked.connect(_take_revoked)


def _limit(task: Any, limited: LimitedTask) -> None:
    spec = read_spec(json.dumps(limited.wire_config()))

    def execute_in_places(execute: Callable[[], Any], _args: Any, _kwargs: Any) -> Any:
        with _places(call_of(task, spec)):
            return execute()

    if not hasattr(task, _ORIGINAL):
        # To drop a call is what was asked for: a line in the log, and no traceback.
        task.throws = (task.throws, RateLimitedError)
    surround(task, _ORIGINAL, execute_in_places)


@contextmanager
def _places(call: Call) -> Iterator[None]:
    """Hold the places of a call for the length of the block.

    Raises:
        Ignore: it has to wait, or another message does it: nothing is to be done, and the result stays open.
        RateLimitedError: it is dropped.
    """
    _count(call)
    slot = _begin(call) if call.job.flow is not None else None
    try:
        with call.runtime.executor.leases.hold(None, slot):
            _claim(call)
            crash_point("task_claimed")
            yield
    finally:
        if slot is not None:
            _quietly(functools.partial(hints.publish, call.runtime, [], slot))


def _count(call: Call) -> None:
    """Ask the rate limit, once for all attempts."""
    task_id, request = str(call.request.id), call.request
    if call.spec.rate_limit is None or request.retries or request.get(messages.COUNTED) == task_id:
        return
    try:
        admitted = Rates(call.runtime).admits_call(call.spec, call.variables, task_id)
    except redis.RedisError as error:
        logger.warning(
            "Redis does not answer (%s). The task %s waits until it does.",
            error,
            call.task.name,
            extra={"action": "flow_unavailable", "task_id": task_id},
        )
        _wait(call)
    if admitted:
        return
    _claim(call)
    raise RateLimitedError(
        f"The task {call.task.name} is called more often than its rate limit allows "
        f"({call.spec.rate_limit.limit} in {call.spec.rate_limit.period_ms / 1000:g} s): this call was dropped. "
        "Call less often, raise the limit, or use throttle=, which delays calls instead."
    )


def _begin(call: Call) -> Slot:
    place = place_of_job(call.job)
    # Who is called besides is looked up in the database.
    (slot, others), _ = _answered(lambda: call.runtime.admission.begin(place, []))
    _quietly(lambda: hints.send(call.runtime, others))
    crash_point("task_begun")
    if slot is None:
        if call.called and not call.again and _is_gone(call.runtime, call.job):
            # It was called twice, and another message was first. Nobody is to stand in line for it any more.
            _quietly(lambda: hints.send(call.runtime, call.runtime.admission.forget(place)))
            raise Ignore
        _wait(call, counted=True)
    return slot


def _is_gone(runtime: Runtime, job: Job) -> bool:
    """Tell whether a job was taken. Where the database does not answer, it may be there."""
    try:
        with runtime.database.autocommit() as connection:
            return not find_jobs(connection, [(job.subject_id, job.key)])
    except exc.SQLAlchemyError:
        return False


def _wait(call: Call, *, counted: bool = False) -> NoReturn:
    """Let a call wait for its turn as a job. One that was called is there already, unless it had begun before."""
    if not call.called or call.again:
        headers = {messages.COUNTED: str(call.request.id)} if counted else {}
        call.job.opts = messages.pack(call.task, call.request, **headers)
        # First the row, then its place in line: what is in line and nowhere else could be called in vain.
        _answered(lambda: job_rows.store(call.runtime.database, call.job))
        crash_point("task_stored")
        if call.job.flow is not None:
            _quietly(lambda: hints.publish(call.runtime, [call.job]))
    raise Ignore


def _claim(call: Call) -> None:
    """Take the job of a call that has waited.

    Raises:
        Ignore: another message was first.
    """
    if not (call.called or call.again):
        return
    job = call.job
    taken, vain = _answered(lambda: job_rows.take(call.runtime.database, job.subject_id, job.key))
    # An answer that got lost may have been the right one: nobody else can have begun the call meanwhile.
    if not (taken or vain or call.again):
        raise Ignore


def _quietly(publish: Callable[[], None]) -> None:
    """Send hints. That it fails is no failure of the task: whoever was called and not told is called again."""
    try:
        publish()
    except exc.SQLAlchemyError as error:
        logger.warning(
            "The database does not answer (%s). Whoever waits in line is told later.",
            error,
            extra={"action": "database_unavailable"},
        )


def _answered(ask: Callable[[], T]) -> tuple[T, int]:
    """Ask the database until it answers: a task whose message is acknowledged is nowhere else than here.

    Returns:
        The answer, and how often it was asked in vain.
    """
    for vain in itertools.count():
        try:
            return ask(), vain
        except _UNANSWERED as error:
            logger.warning(
                "The database does not answer (%s). A limited task waits for it.",
                error,
                extra={"action": "database_unavailable"},
            )
            time.sleep(min(0.1 * 2 ** min(vain, 10), _LONGEST_PAUSE_S))
    raise AssertionError


def _take_unlimited(task: Task, **_: object) -> None:
    """Take the job of a task that was called, and has no limits any more in the code that is to execute it."""
    if not hasattr(task, _ORIGINAL):
        _take(task, task.request)


def _take_revoked(sender: Task, request: Context, **_: object) -> None:
    """Take the job of a call that was revoked, or has expired, while it waited: it never comes to its execution."""
    _take(sender, request)


def _take(task: Task, request: Context) -> None:
    called, flow = called_in(request)
    if not called:
        return
    runtime, subject_id, key = runtime_of(task.app), subject_of(str(request.id)), key_of(request)
    job_rows.take(runtime.database, subject_id, key)
    if flow is not None:
        hints.send(
            runtime,
            runtime.admission.forget(place_of(subject_id, key, TASK_PREFIX + str(task.name), flow, starts=False)),
        )
