"""Celery signatures as steps: kept as JSON, published under ids of their own, and asked how they ended.

A step's ids are made of its run and its key. So a signature that is published twice, because a worker died between the
publication and its record, is the same task twice for Celery, and whoever wants to know of it can tell its ids.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from celery import Celery, states
from celery.backends.base import DisabledBackend
from celery.backends.rpc import RPCBackend
from celery.canvas import Signature, chunks, group
from celery.exceptions import SecurityError
from celery.result import allow_join_result
from kombu.exceptions import ContentDisallowed, SerializationError
from kombu.utils import json as kombu_json

from inngest_celery.drivers.native.failures import failure_of
from inngest_celery.engine.limits import STEP_BYTES
from inngest_celery.engine.report import Failure
from inngest_celery.sdk.errors import StepInvalidError
from inngest_celery.sdk.jsonable import encode, find_problem

# What an earlier publication of the same signature may have left in it.
_OF_A_PUBLICATION = ("chord", "group_id", "group_index", "parent_id", "reply_to", "root_id", "task_id")
_NAMED = 3
# A signature, or one in another. Celery has no types that would tell of its parts.
Part: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Done:
    """A signature came to its end; ``value`` is what it gave."""

    value: object


Ending = Done | Failure


def stored(step_id: str, signature: object) -> dict[str, Any]:
    """Give a signature as JSON can hold it; what Celery's JSON serializer can send comes back as it was.

    Raises:
        StepInvalidError: it is no signature, or holds what JSON cannot.
    """
    if not isinstance(signature, Signature):
        raise StepInvalidError(
            f'step "{step_id}" takes a signature of a Celery task, not {type(signature).__name__}; '
            "write step.celery(id, task.s(argument)), or give a chain, group or chord"
        )
    try:
        # Chunks are a group that is made when it is called.
        part: Part = signature
        text = str(kombu_json.dumps(part.group() if isinstance(part, chunks) else part))  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RecursionError) as error:
        raise StepInvalidError(
            f'the signature of step "{step_id}" cannot be kept as JSON: {error}. Give its tasks what JSON can hold, '
            "such as an id in place of an object"
        ) from None
    if len(text) > STEP_BYTES:
        raise StepInvalidError(
            f'the signature of step "{step_id}" has {len(text)} bytes; at most {STEP_BYTES} go. Store large data '
            "elsewhere, and give its tasks references to it"
        )
    kept: dict[str, Any] = json.loads(text)
    return kept


def described(kept: Mapping[str, Any]) -> str:
    """Say in a few words which tasks a signature calls; arguments are nobody's business.

    Example:
        >>> described({"task": "shop.charge", "subtask_type": None})
        'shop.charge'
    """
    inside, kind = kept.get("kwargs") or {}, kept.get("subtask_type")
    if kind == "chain":
        return _several(inside["tasks"], " | ")
    if kind == "group":
        return f"group({_several(inside['tasks'], ', ')})"
    if kind == "chord":
        header = inside["header"]
        members = header["kwargs"]["tasks"] if isinstance(header, dict) else header
        return f"chord({_several(members, ', ')} | {described(inside['body'])})"
    return str(kept.get("task"))


def _several(tasks: Sequence[Mapping[str, Any]], between: str) -> str:
    shown = [described(task) for task in tasks[:_NAMED]]
    more = len(tasks) - len(shown)
    return between.join([*shown, *([f"{more} more"] if more else [])])


@dataclass
class Canvas:
    """The signature of one step of one run.

    Args:
        app: the Celery app that it is published by.
        kept: the signature, as :func:`stored` gave it.
        run_id, key: the step.
    """

    app: Celery
    kept: Mapping[str, Any]
    run_id: str
    key: str

    def signature(self) -> Part:
        """Make it anew: Celery changes a signature when it is published."""
        made = Signature.from_dict(kombu_json.loads(json.dumps(self.kept)), app=self.app)  # type: ignore[no-untyped-call]
        return _numbered(made, self._ids(), self.app)

    def _ids(self) -> Iterator[str]:
        return (str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.run_id}.{self.key}.{n}")) for n in itertools.count())

    @cached_property
    def _made(self) -> Part:
        return self.signature()

    @property
    def id(self) -> str:
        """The Celery id under which its result is: of the last task of a chain, of the body of a chord."""
        return _id_of(self._made)

    @property
    def task_ids(self) -> list[str]:
        """The ids of all its tasks."""
        return [task.options["task_id"] for task in _tasks(self._made)]

    @property
    def queue(self) -> str:
        """The queue of the task that is first, as far as this process can tell."""
        first = next(_tasks(self._made))
        route = self.app.amqp.router.route(dict(first.options), first.task, first.args, first.kwargs)
        queue = route.get("queue")
        return str(getattr(queue, "name", queue) or route.get("routing_key") or "")

    @property
    def needs_backend(self) -> bool:
        """Whether Celery cannot carry it out without a result backend."""
        return _gives_list(self._made) or _has_chord(self._made)

    def publish(self, done: Part, failed: Part, headers: Mapping[str, str], producer: Any) -> None:
        """Send it to its workers.

        Args:
            done: is called with what it gave.
            failed: is called with the id of a task of it that failed.
            headers: what each of its messages carries besides its own headers.
        """
        signature: Part = self.signature()
        for task in _tasks(signature):
            task.options["headers"] = {**headers, **(task.options.get("headers") or {})}
        if _gives_list(signature):
            # Nobody but a chord waits for all tasks of a group.
            signature = signature | done
        else:
            signature.link(done)
        # Not link_error(): for a chord that warns of what a future release will do.
        signature.append_to_list_option("link_error", failed)
        signature.apply_async(producer=producer)

    def apply(self) -> Ending:
        """Carry it out here and now, without a broker, as ``apply()`` does."""
        try:
            with allow_join_result():
                return usable(self.signature().apply().get(disable_sync_subtasks=False))
        except Exception as error:  # noqa: BLE001  whatever the task raises is the step's outcome
            return failure_of(error)

    # Asking

    @property
    def can_be_asked(self) -> bool:
        """Whether there is a result backend that tells any process of a task's end: rpc:// tells who has sent it."""
        return not isinstance(self.app.backend, DisabledBackend | RPCBackend)

    def ending(self) -> Ending | None:
        """Ask the result backend how it ended; ``None`` if it has not, or nobody knows."""
        ending = self._ending_of(self._made) if self.can_be_asked else None
        return usable(ending.value) if isinstance(ending, Done) else ending

    def _ending_of(self, signature: Part) -> Ending | None:
        if _kind(signature) == "chain":
            return self._ending_of_last(signature.tasks)
        if _kind(signature) == "chord":
            return self._ending_of_last([signature.tasks, signature.body])
        if _kind(signature) == "group":
            return self._ending_of_all(signature.tasks)
        return self._ending_of_task(str(signature.options["task_id"]))

    def _ending_of_last(self, steps: Sequence[Part]) -> Ending | None:
        """Give how a sequence ended: as its last step did, or as the first one that failed.

        Not every failure is passed on to the steps that follow, which then never begin: a revocation is not. And the
        body of a chord fails, a moment later, with a ``ChordError`` that tells less than the task that failed.
        """
        ending = self._ending_of(steps[-1])
        if isinstance(ending, Done):
            return ending
        earlier = (self._ending_of(step) for step in steps[:-1])
        return next((failed for failed in earlier if isinstance(failed, Failure)), ending)

    def _ending_of_all(self, tasks: Sequence[Part]) -> Ending | None:
        values: list[object] = []
        failure: Failure | None = None
        for task in tasks:
            ending = self._ending_of(task)
            if ending is None:
                return None
            if isinstance(ending, Failure):
                failure = failure or ending
            elif _kind(task) == "group":
                # Celery unrolls groups in groups.
                values.extend(ending.value if isinstance(ending.value, list) else [ending.value])
            else:
                values.append(ending.value)
        return failure or Done(values)

    def _ending_of_task(self, task_id: str) -> Ending | None:
        try:
            # Not from the memory of this process, which has room for a thousand of them.
            meta = self.app.backend.get_task_meta(task_id, cache=False)
        except (SerializationError, ContentDisallowed, SecurityError) as error:
            return _unreadable(task_id, error)
        status, result = meta["status"], meta.get("result")
        if status == states.SUCCESS:
            return Done(result)
        if status not in states.PROPAGATE_STATES:
            return None
        failure = failure_of(result if isinstance(result, BaseException) else RuntimeError(str(result)))
        failure.stack = meta.get("traceback") or failure.stack
        return failure


def usable(value: object) -> Ending:
    """Give a result as a step's outcome; one that cannot be recorded is a failure that says so."""
    problem = find_problem(value)
    if problem is not None:
        return Failure(
            "OutputUnserializableError",
            f"The Celery task returned unserializable data: {problem}. A step records JSON: let the task return what "
            "JSON can hold, or let another task follow it in a chain that does.",
            code="output_unserializable",
            retriable=False,
        )
    size = len(encode(value).encode())
    if size > STEP_BYTES:
        return Failure(
            "OutputTooLargeError",
            f"The Celery task returned {size} bytes; a step may have {STEP_BYTES}. Store large data elsewhere, and "
            "return a reference to it.",
            code="output_too_large",
            retriable=False,
        )
    return Done(value)


def memo_of(ending: Ending) -> str:
    """Give what the function sees of an ending, as JSON text."""
    if isinstance(ending, Failure):
        return ending.to_memo()
    return encode({"data": ending.value})


def _unreadable(task_id: str, error: Exception) -> Failure:
    return Failure(
        "OutputUnserializableError",
        f"The result of the Celery task {task_id} cannot be read: {error}. Add its serializer to "
        "result_accept_content (or accept_content), or let the task return what JSON can hold.",
        code="output_unserializable",
        retriable=False,
    )


def _numbered(signature: Part, ids: Iterator[str], app: Celery) -> Part:
    """Give every task and every group the next id."""
    for name in _OF_A_PUBLICATION:
        signature.options.pop(name, None)
    if _kind(signature) == "chain":
        signature.tasks = [_numbered(task, ids, app) for task in signature.tasks]
    elif _kind(signature) == "chord":
        header = signature.tasks if isinstance(signature.tasks, Signature) else group(signature.tasks, app=app)
        signature.tasks = _numbered(header, ids, app)
        signature.body = _numbered(signature.body, ids, app)
    elif _kind(signature) == "group":
        signature.tasks = [_numbered(task, ids, app) for task in signature.tasks]
        signature.options["task_id"] = next(ids)
    else:
        signature.options["task_id"] = next(ids)
    return signature


def _tasks(signature: Part) -> Iterator[Part]:
    """Give the tasks of a signature, the first ones first."""
    if _kind(signature) == "chord":
        yield from _tasks(signature.tasks)
        yield from _tasks(signature.body)
    elif _kind(signature) in ("chain", "group"):
        for task in signature.tasks:
            yield from _tasks(task)
    else:
        yield signature


def _last(signature: Part) -> Part:
    """Give the part of a signature whose result is the result of it all."""
    if _kind(signature) == "chain":
        return _last(signature.tasks[-1])
    return _last(signature.body) if _kind(signature) == "chord" else signature


def _id_of(signature: Part) -> str:
    return str(_last(signature).options["task_id"])


def _gives_list(signature: Part) -> bool:
    return _kind(_last(signature)) == "group"


def _has_chord(signature: Part) -> bool:
    """Tell whether something in it waits for several tasks: Celery makes a chord of a group that a task follows."""
    if _kind(signature) == "chord":
        return True
    if _kind(signature) == "chain":
        groups = any(_kind(task) == "group" for task in signature.tasks[:-1])
        return groups or any(_has_chord(task) for task in signature.tasks)
    return _kind(signature) == "group" and any(_has_chord(task) for task in signature.tasks)


def _kind(signature: Part) -> str | None:
    """Give ``chain``, ``group`` or ``chord``; nothing for a task."""
    kind: str | None = signature.subtask_type
    return kind
