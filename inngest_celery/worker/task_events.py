"""Celery's signals as events: what becomes of chosen tasks of other code can trigger functions, and end waits.

A task is to feel nothing of it. So its event is stored by a thread beside it, which the task waits for only briefly;
and while the database does not answer, the next tasks do not wait at all, and what does not find room is dropped.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from celery import Celery, signals
from celery.app.task import Context
from sqlalchemy.exc import SQLAlchemyError

from inngest_celery.sdk.event import Event
from inngest_celery.settings import SettingsError
from inngest_celery.store.database import DatabaseError
from inngest_celery.worker.outbox import Outbox
from inngest_celery.worker.plain import plain
from inngest_celery.worker.runtime import Runtime, runtime_of

if TYPE_CHECKING:
    from celery import Task

logger = logging.getLogger(__name__)

SUCCEEDED, FAILED = "celery/task.succeeded", "celery/task.failed"
RETRIED, REVOKED = "celery/task.retried", "celery/task.revoked"
# How long a task waits for its event to be stored: longer than that takes, and no harm if it takes longer.
PATIENCE_S = 1.0
_ROOM = 1000
_LONGEST_DATA = 256 * 1024
_BEGAN = "_inngest_event_began"


def tell_tasks(app: Celery) -> None:
    """Make a worker tell of the tasks that ``inngest_task_events`` names. Before its pool starts; once."""
    patterns = runtime_of(app).settings.task_events
    if not patterns:
        return
    teller = app.__dict__.setdefault("inngest_teller", Teller(runtime_of(app), tuple(patterns)))
    signals.task_prerun.connect(teller.began, weak=False, dispatch_uid="inngest_began")
    signals.task_success.connect(teller.succeeded, weak=False, dispatch_uid="inngest_succeeded")
    signals.task_failure.connect(teller.failed, weak=False, dispatch_uid="inngest_failed")
    signals.task_retry.connect(teller.retried, weak=False, dispatch_uid="inngest_retried")
    signals.task_revoked.connect(teller.revoked, weak=False, dispatch_uid="inngest_revoked")


@dataclass(slots=True)
class _Told:
    name: str
    data: dict[str, Any]
    event_id: str
    stored: threading.Event = field(default_factory=threading.Event)


class Teller:
    """Hears Celery's signals, and stores events.

    Args:
        runtime: of the app.
        patterns: the names, or globs, of the tasks that are told of.
    """

    def __init__(self, runtime: Runtime, patterns: tuple[str, ...]) -> None:
        self._runtime = runtime
        self._patterns = patterns
        self._waiting: queue.Queue[_Told] = queue.Queue(_ROOM)
        self._process = 0
        self._guard = threading.Lock()
        self._behind = False

    # The signals

    def began(self, task: Task, **_: object) -> None:
        if self._wants(task):
            setattr(task.request, _BEGAN, time.monotonic())

    def succeeded(self, sender: Task, result: object = None, **_: object) -> None:
        self._tell(SUCCEEDED, sender, sender.request, {"result": plain(result)})

    def failed(self, sender: Task, task_id: str, exception: BaseException, einfo: object = None, **given: Any) -> None:
        told, request = {"error": _error(exception, einfo)}, sender.request
        if request.id == task_id:
            self._tell(FAILED, sender, request, told)
            return
        # Its process died: the worker's main process says so.
        lost = Context(id=task_id, args=given.get("args"), kwargs=given.get("kwargs"))
        self._tell(FAILED, sender, lost, told, patience=0)

    def retried(self, sender: Task, request: Context, reason: object, einfo: object = None, **_: object) -> None:
        error = getattr(reason, "exc", None) or reason
        self._tell(RETRIED, sender, request, {"error": _error(error, einfo)})

    def revoked(self, sender: Task, request: Context, **circumstances: object) -> None:
        why = next((name for name in ("terminated", "expired") if circumstances.get(name)), "revoked")
        error = {"name": "TaskRevokedError", "message": why, "stack": None}
        # In the worker's main process, which has no time at all.
        self._tell(REVOKED, sender, request, {"error": error}, patience=0)

    def _wants(self, task: Task) -> bool:
        name = str(task.name)
        if hasattr(task, "inngest_function_id") or name.startswith("inngest."):
            # A function's own events tell of its runs.
            return False
        # Signals are heard from all apps of a process.
        return any(fnmatchcase(name, each) for each in self._patterns) and runtime_of(task.app) is self._runtime

    def _tell(
        self, name: str, task: Task, request: Context, told: dict[str, Any], *, patience: float | None = None
    ) -> None:
        if not self._wants(task):
            return
        task_id, retries = str(request.id), int(request.retries or 0)
        data = {
            "task": str(task.name),
            "id": task_id,
            "args": plain(request.args),
            "kwargs": plain(request.kwargs),
            **told,
            "retries": retries,
            "queue": str((request.delivery_info or {}).get("routing_key") or ""),
            "runtime": _runtime(request),
        }
        told_of = _Told(name, _bounded(data), f"{name}/{task_id}/{retries}"[:512])
        self._hand_over(told_of, PATIENCE_S if patience is None else patience)

    # Storing

    def _hand_over(self, told: _Told, patience: float) -> None:
        self._ensure_thread()
        try:
            self._waiting.put_nowait(told)
        except queue.Full:
            logger.error(
                "The event %s of the task %s is dropped: %d wait for the database already.",
                told.name,
                told.data["id"],
                _ROOM,
                extra={"action": "task_event_dropped", "task_id": told.data["id"]},
            )
            return
        if self._behind or patience == 0:
            return
        # So that a process which ends with its task has told of it.
        if not told.stored.wait(patience):
            self._behind = True
            logger.warning(
                "The event %s of the task %s could not be stored within %g s. It is stored when the database answers; "
                "until then no task waits for its event.",
                told.name,
                told.data["id"],
                patience,
                extra={"action": "task_event_late", "task_id": told.data["id"]},
            )

    def _ensure_thread(self) -> None:
        with self._guard:
            if self._process != os.getpid():
                # After a fork, what waits is the other process's.
                self._process, self._behind = os.getpid(), False
                self._waiting = queue.Queue(_ROOM)
                threading.Thread(target=self._run, args=(self._waiting,), name="inngest-tell", daemon=True).start()

    def _run(self, waiting: queue.Queue[_Told]) -> None:
        while True:
            told = waiting.get()
            pause = 0.1
            while not self._store(told):
                time.sleep(pause)
                pause = min(pause * 2, 5.0)
            told.stored.set()
            if waiting.empty():
                self._behind = False

    def _store(self, told: _Told) -> bool:
        """Store an event; false if that is to be tried again."""
        # One id for one end of one attempt: a task that is delivered again starts nothing again.
        event = Event(name=told.name, data=told.data, id=told.event_id)
        try:
            Outbox(self._runtime).send([event])
        except (SQLAlchemyError, DatabaseError, OSError):
            return False
        except (SettingsError, ValueError) as error:
            logger.error(
                "The event %s of the task %s cannot be stored: %s",
                told.name,
                told.data["id"],
                error,
                extra={"action": "task_event_dropped", "task_id": told.data["id"]},
            )
        return True


def _runtime(request: Context) -> float | None:
    began = getattr(request, _BEGAN, None)
    return None if began is None else round(time.monotonic() - began, 6)


def _error(error: object, einfo: object) -> dict[str, Any]:
    stack = getattr(einfo, "traceback", None)
    return {"name": type(error).__name__, "message": str(error), "stack": None if stack is None else str(stack)}


def _bounded(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is too large for an event."""
    for name in ("args", "kwargs", "result"):
        if name in data and len(json.dumps(data[name])) > _LONGEST_DATA:
            data[name] = f"{str(data[name])[:1000]}… (too large for an event)"
    return data
