"""Calls of old code, on their way to a function: which way each one goes, and what is told of those in the shadow.

A task's calls are looked at where a worker is about to execute one, so that it does not matter who sent them, how and
when. Those of a canvas are looked at where it is started.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.exceptions import Ignore, Reject, Retry
from celery.utils import uuid
from sqlalchemy import exc

from inngest_celery.engine import policies
from inngest_celery.sdk.cutover import ANSWERED, BEGUN, CanvasCutover, Cutover, Shares
from inngest_celery.sdk.event import Event
from inngest_celery.store import called, cutovers
from inngest_celery.store.database import DatabaseError
from inngest_celery.worker import bridge
from inngest_celery.worker.calls import variables_of
from inngest_celery.worker.comparing import Answer, error_answer, output_answer
from inngest_celery.worker.outbox import outbox
from inngest_celery.worker.plain import plain
from inngest_celery.worker.registry import cutovers_of
from inngest_celery.worker.runtime import Runtime, runtime_of
from inngest_celery.worker.task_bodies import surround

if TYPE_CHECKING:
    from celery.result import AsyncResult, GroupResult

logger = logging.getLogger(__name__)

# How long a process goes by what it has read of percentages.
_FRESH_S = 5.0
_ORIGINAL = "inngest_old_run"
# What of the shadow goes along when Celery sends a retry: the event that has begun it.
_HEADER = "inngest_shadow"
# Not the end of a task: it comes again, or somebody else says what came of it.
_NO_ANSWER = (Ignore, Reject, Retry)
_UNANSWERED = (exc.SQLAlchemyError, DatabaseError)
_HALF = 8


@dataclass(frozen=True, slots=True)
class _Way:
    """Where a call goes: to the function, or to the old code, alone or with a shadow; and its event's data."""

    function: bool = False
    shadow: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)


_OLD = _Way()


def take_over(app: Celery) -> None:
    """Make a worker look at the calls of tasks that are moving. Before its pool starts: the children do it."""
    for cutover in cutovers_of(app):
        if not isinstance(cutover, CanvasCutover):
            surround(app.tasks[cutover.name], _ORIGINAL, functools.partial(_execute, app, cutover))


def start(cutover: CanvasCutover, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AsyncResult | GroupResult:
    """Start a canvas, or the function in its place."""
    runtime, call_id = runtime_of(cutover.function.client.celery), uuid()
    way = _way(runtime, cutover, call_id, args, kwargs)
    if way.function:
        return cutover.function.apply_async((way.data,), task_id=call_id)
    begun = _begin(runtime, cutover, call_id, way) if way.shadow else None
    result = cutover.old(*args, **kwargs).apply_async()
    if begun is not None:
        _answer(runtime, cutover, begun, {"result": result.as_tuple()})
    return result


def _execute(app: Celery, cutover: Cutover, execute: Callable[[], Any], args: Any, kwargs: Any) -> Any:
    """Do what a message asks of a task that is moving, or have the function do it."""
    runtime, task = runtime_of(app), app.tasks[cutover.name]
    request, call_id = task.request, str(task.request.id)
    # What has begun in the old code ends there.
    way = _OLD if request.retries else _way(runtime, cutover, call_id, args, kwargs)
    if way.function:
        bridge.start_run_from_message(task, cutover.function.id, dict(way.data))
    redelivered = bool((request.delivery_info or {}).get("redelivered"))
    if redelivered and _went_over(runtime, call_id):
        # The percentage has been lowered since the message came for the first time.
        raise Ignore
    if way.shadow and not redelivered:
        request.headers = {**(request.headers or {}), _HEADER: _begin(runtime, cutover, call_id, way)}
    return _shadowed(runtime, cutover, request, execute)


def _shadowed(runtime: Runtime, cutover: Cutover, request: Any, execute: Callable[[], Any]) -> Any:
    """Execute the old code, and tell what it gave if the call has a shadow."""
    begun = (request.headers or {}).get(_HEADER)
    if begun is None:
        return execute()
    try:
        result = execute()
    except _NO_ANSWER:
        raise
    except Exception as error:
        _answer(runtime, cutover, begun, error_answer(error))
        raise
    _answer(runtime, cutover, begun, output_answer(result))
    return result


def _way(runtime: Runtime, cutover: Cutover, call_id: str, args: Any, kwargs: Any) -> _Way:
    shares = shares_of(runtime, cutover)
    if not (shares.percent or shares.shadow):
        return _OLD
    try:
        data = cutover.data_of(args, kwargs)
    except TypeError:
        # The old code says best what is wrong with its arguments.
        return _OLD
    value = call_id
    if cutover.opts.key is not None:
        variables = variables_of(cutover.name, args, kwargs)
        value = json.dumps(policies.value_of(cutover.opts.key, variables), sort_keys=True)
    digest = hashlib.sha256(f"{cutover.name}\0{value}".encode()).digest()
    function, shadow = (_point(digest[at : at + _HALF]) for at in (0, _HALF))
    taken = function < shares.percent
    return _Way(function=taken, shadow=not taken and shadow < shares.shadow, data=data)


def _went_over(runtime: Runtime, call_id: str) -> bool:
    with runtime.database.autocommit() as connection:
        return called.is_known(connection, call_id)


def _point(part: bytes) -> float:
    """Give a percentage that is as good as drawn by lot, and always the same."""
    return float(int.from_bytes(part)) / float(256 ** len(part)) * 100


def shares_of(runtime: Runtime, cutover: Cutover) -> Shares:
    """Give the percentages that hold: those that were set, else the code's. What was read holds for five seconds."""
    known: dict[str, tuple[Shares, float]] = runtime.app.__dict__.setdefault("inngest_shares", {})
    shares, read_at = known.get(cutover.name, (cutover.opts.shares, -_FRESH_S))
    if time.monotonic() - read_at < _FRESH_S:
        return shares
    try:
        with runtime.database.autocommit() as connection:
            shares = cutovers.get(connection, cutover.name) or cutover.opts.shares
    except exc.SQLAlchemyError as error:
        logger.warning(
            "The database does not answer (%s). The calls of %s go on as they went.",
            error,
            cutover.name,
            extra={"action": "cutover_unknown", "cutover": cutover.name},
        )
    known[cutover.name] = shares, time.monotonic()
    return shares


def _begin(runtime: Runtime, cutover: Cutover, call_id: str, way: _Way) -> str | None:
    """Begin a run in the shadow; give the event that does. The old code goes on whether that works or not."""
    data = {name: plain(value, str) for name, value in way.data.items()}
    return _tell(runtime, BEGUN, {**data, "_inngest": {"shadow": cutover.function.id}}, f"{call_id}.shadow")


def _answer(runtime: Runtime, cutover: Cutover, begun: str, answer: Answer) -> None:
    """Have the answer of the old code compared with that of the shadow."""
    data = {"function_id": cutover.function.id, "begun": begun, "old": plain(answer, str)}
    _tell(runtime, ANSWERED, data, f"{begun}.answer")


def _tell(runtime: Runtime, name: str, data: Mapping[str, Any], event_id: str) -> str | None:
    try:
        [sent] = outbox(runtime.app).send([Event(name=name, data=data, id=event_id)])
    except _UNANSWERED as error:
        logger.warning(
            "A call has no shadow: the database does not answer (%s).", error, extra={"action": "shadow_lost"}
        )
        return None
    return sent
