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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.exceptions import Ignore, Reject, Retry
from celery.utils import uuid
from sqlalchemy import exc

from inngest_celery.engine import policies
from inngest_celery.sdk.cutover import ANSWERED, BEGUN, CanvasCutover, Cutover
from inngest_celery.sdk.event import Event
from inngest_celery.store import called, cutovers
from inngest_celery.store.cutovers import Shares
from inngest_celery.store.database import DatabaseError
from inngest_celery.worker import bridge
from inngest_celery.worker.outbox import outbox
from inngest_celery.worker.registry import cutovers_of
from inngest_celery.worker.runtime import Runtime, runtime_of

if TYPE_CHECKING:
    from celery.result import AsyncResult, GroupResult

logger = logging.getLogger(__name__)

# How long a process goes by what it has read of percentages.
_FRESH_S = 5.0
_ORIGINAL = "inngest_old_run"
_SEEN = "_inngest_cutover"
# What of the shadow goes along when Celery sends a retry: the event that has begun it.
_HEADER = "inngest_shadow"
# Not the end of a task: it comes again, or somebody else says what came of it.
_NO_ANSWER = (Ignore, Reject, Retry)
_UNANSWERED = (exc.SQLAlchemyError, DatabaseError)
_HALF = 8


@dataclass(frozen=True, slots=True)
class _Way:
    """Where a call goes: to the function, or to the old code, alone or with a shadow."""

    function: bool
    shadow: bool


def take_over(app: Celery) -> None:
    """Make a worker look at the calls of tasks that are moving. Before its pool starts: the children do it."""
    for cutover in cutovers_of(app):
        if not isinstance(cutover, CanvasCutover):
            _watch(app, app.tasks[cutover.name], cutover)


def start(cutover: CanvasCutover, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AsyncResult | GroupResult:
    """Start a canvas, or the function in its place."""
    app = cutover.function.client.celery
    runtime, call_id = runtime_of(app), uuid()
    way = _way(runtime, cutover, call_id, args, kwargs)
    if way.function:
        return cutover.function.apply_async((cutover.data_of(args, kwargs),), task_id=call_id)
    begun = _begin(runtime, cutover, call_id, args, kwargs) if way.shadow else None
    result = cutover.old(*args, **kwargs).apply_async()
    if begun is not None:
        _answer(runtime, cutover, begun, {"result": result.as_tuple()})
    return result


def _watch(app: Celery, task: Any, cutover: Cutover) -> None:
    execute = getattr(task, _ORIGINAL, task.run)

    @functools.wraps(execute)
    def run(*args: Any, **kwargs: Any) -> Any:
        request = task.request
        if request.called_directly or request.is_eager or hasattr(request, _SEEN):
            return execute(*args, **kwargs)
        setattr(request, _SEEN, True)
        runtime = runtime_of(app)
        # What has begun in the old code ends there.
        way = _way(runtime, cutover, str(request.id), args, kwargs) if not request.retries else _Way(False, False)
        redelivered = bool((request.delivery_info or {}).get("redelivered"))
        # A percentage may have been lowered since the message came for the first time.
        if way.function or (redelivered and _went_over(runtime, str(request.id))):
            bridge.start_run_from_message(task, cutover.function.id, cutover.data_of(args, kwargs))
        if way.shadow and not redelivered:
            begun = _begin(runtime, cutover, str(request.id), args, kwargs)
            request.headers = {**(request.headers or {}), _HEADER: begun}
        return _shadowed(runtime, cutover, request, lambda: execute(*args, **kwargs))

    if not hasattr(task, _ORIGINAL):
        setattr(task, _ORIGINAL, execute)
    task.run = run


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
        _answer(runtime, cutover, begun, {"error": {"name": type(error).__name__, "message": str(error)}})
        raise
    _answer(runtime, cutover, begun, {"output": plain(result)})
    return result


def _way(runtime: Runtime, cutover: Cutover, call_id: str, args: Any, kwargs: Any) -> _Way:
    shares = shares_of(runtime, cutover)
    if not (shares.percent or shares.shadow):
        return _Way(function=False, shadow=False)
    value = call_id
    if cutover.opts.key is not None:
        variables = {"args": plain(list(args)), "kwargs": plain(dict(kwargs)), "task": cutover.name}
        value = json.dumps(policies.value_of(cutover.opts.key, variables), sort_keys=True)
    try:
        cutover.data_of(args, kwargs)
    except TypeError:
        # The old code says best what is wrong with its arguments.
        return _Way(function=False, shadow=False)
    digest = hashlib.sha256(f"{cutover.name}\0{value}".encode()).digest()
    function, shadow = (_point(digest[at : at + _HALF]) for at in (0, _HALF))
    taken = function < shares.percent
    return _Way(function=taken, shadow=not taken and shadow < shares.shadow)


def _went_over(runtime: Runtime, call_id: str) -> bool:
    with runtime.database.autocommit() as connection:
        return called.is_known(connection, call_id)


def _point(part: bytes) -> float:
    """Give a percentage that is as good as drawn by lot, and always the same."""
    return float(int.from_bytes(part)) / float(256 ** len(part)) * 100


def shares_of(runtime: Runtime, cutover: Cutover) -> Shares:
    """Give the percentages that hold: those that were set, else the code's. What was read holds for five seconds."""
    known: dict[str, tuple[Shares, float]] = runtime.app.__dict__.setdefault("inngest_shares", {})
    shares, read_at = known.get(cutover.name, (Shares(cutover.opts.percent, cutover.opts.shadow), -_FRESH_S))
    if time.monotonic() - read_at < _FRESH_S:
        return shares
    try:
        with runtime.database.autocommit() as connection:
            found = cutovers.get(connection, cutover.name)
        shares = found or Shares(cutover.opts.percent, cutover.opts.shadow)
    except exc.SQLAlchemyError as error:
        logger.warning(
            "The database does not answer (%s). The calls of %s go on as they went.",
            error,
            cutover.name,
            extra={"action": "cutover_unknown", "cutover": cutover.name},
        )
    known[cutover.name] = shares, time.monotonic()
    return shares


def _begin(runtime: Runtime, cutover: Cutover, call_id: str, args: Any, kwargs: Any) -> str | None:
    """Begin a run in the shadow; give the event that does. The old code goes on whether that works or not."""
    data = {**cutover.data_of(plain(list(args)), plain(dict(kwargs))), "_inngest": {"shadow": cutover.function.id}}
    return _tell(runtime, Event(name=BEGUN, data=data, id=f"{call_id}.shadow"))


def _answer(runtime: Runtime, cutover: Cutover, begun: str, answer: Mapping[str, object]) -> None:
    """Have the answer of the old code compared with that of the shadow."""
    data = {"function_id": cutover.function.id, "begun": begun, "old": answer}
    _tell(runtime, Event(name=ANSWERED, data=plain(data), id=f"{begun}.answer"))


def _tell(runtime: Runtime, event: Event) -> str | None:
    try:
        [event_id] = outbox(runtime.app).send([event])
    except _UNANSWERED as error:
        logger.warning(
            "A call has no shadow: the database does not answer (%s).", error, extra={"action": "shadow_lost"}
        )
        return None
    return event_id


def plain(value: object) -> Any:
    """Give a value as JSON has it; what JSON lacks, as its text."""
    try:
        return json.loads(json.dumps(value, default=str, skipkeys=True))
    except (ValueError, RecursionError):
        return repr(value)
