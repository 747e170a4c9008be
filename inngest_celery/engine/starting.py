"""Starting a run: its row, its first job, its deadlines, and the events that would cancel it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.engine import invoking, keys, policies, skipping, waiting
from inngest_celery.engine.announcing import start_job
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.cancelling import cancel_run
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.engine.terms import Terms
from inngest_celery.store import events, functions, jobs, runs, waits
from inngest_celery.store.changes import Applied
from inngest_celery.store.database import Database
from inngest_celery.store.functions import HOLD, SKIP, FunctionRow
from inngest_celery.store.rows import Event, Job, JobKind, Run, RunStatus, Wait

T = TypeVar("T")
START_DEADLINE = "deadline:start"


class TopicMissing(Exception):
    """A cancellation is to be registered for an event name that nobody has waited for before."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(set(names))
        super().__init__(self.names)


def with_topics(database: Database, transaction: Callable[[], T]) -> T:
    """Do a transaction that registers cancellations, once more if it lacks a topic."""
    try:
        return transaction()
    except TopicMissing as missing:
        waits.prepare_topics(database, missing.names)
        return transaction()


def lock_topics(connection: sa.Connection, spec: FunctionSpec) -> None:
    """Lock the topics of a new run's cancellations, which comes before everything else; see ``store.waits``.

    Raises:
        TopicMissing: one of them is not there yet.
    """
    names = {cancel.event for cancel in spec.cancel}
    if not all(waits.lock_topic(connection, name) for name in sorted(names)):
        raise TopicMissing(names)


def make(
    terms: Terms,
    function: FunctionRow,
    arrival: Arrival,
    now: int,
    *,
    run_id: str | None = None,
    batch: int | None = None,
    keep: bool = False,
    repeats: str | None = None,
) -> tuple[Run, Job]:
    """Make a run and its first job, not stored yet.

    Args:
        now: milliseconds.
        run_id: the id that was chosen for it before.
        batch: how many events start it, if they were collected.
        keep: whether this worker may take the first job at once. It does unless a limit holds for it.
        repeats: the run that it repeats. Nobody waits for this one, and it may come as often as it is wanted.
    """
    spec, event = read_spec(function.config), arrival.event
    run = Run(
        id=(None if repeats else invoking.run_id_of(arrival)) or run_id or ids.new(now),
        function_id=function.id,
        event_id=event.id,
        idempotency_key=None if batch or repeats else keys.idempotency_key(spec, arrival),
        status=RunStatus.SCHEDULED.value,
        created_at=now,
        singleton_key=None if batch else keys.singleton_key(spec, arrival),
        batch=batch,
        original_run_id=repeats,
    )
    if repeats is None:
        invoking.note_caller(run, arrival)
    first = start_job(
        function,
        run.id,
        now=now,
        due_at=now if batch else max(now, event.ts),
        hint_ms=terms.hint_ms,
        horizon_ms=terms.horizon_ms,
        flow=policies.flow_of(spec, arrival.variable, now),
        message=invoking.message_of(arrival, run.id),
    )
    if keep and first.flow is None and first.due_at <= now:
        first.leased_by, first.fence, first.hints = terms.worker, 1, 0
        first.leased_until = first.sweep_at = now + terms.lease_ms
        run.status, run.started_at = RunStatus.RUNNING.value, now
    return run, first


def is_plain(function: FunctionRow, run: Run) -> bool:
    """Tell whether a run that was made is all there is to its start: nobody to look out for, nothing beside it."""
    spec = read_spec(function.config)
    alone = run.idempotency_key is None and run.singleton_key is None
    return alone and not (spec.cancel or spec.start_timeout_ms or spec.finish_timeout_ms)


def start(
    connection: sa.Connection,
    terms: Terms,
    function: FunctionRow,
    arrival: Arrival,
    now: int,
    *,
    run_id: str | None = None,
    batch: int | None = None,
    keep: bool = False,
    repeats: str | None = None,
    at_once: bool = False,
) -> Applied:
    """Start a run, unless one is in its way; see :func:`make` for the other arguments.

    Args:
        at_once: whether the event starts it by itself, when it is routed. Then what came after the event and cancels
            such runs cancels this one, though it was routed before.

    Returns:
        The jobs that follow, and the run if its first job is leased to this worker.
    """
    if function.paused == HOLD:
        # Whoever lets it go on waits for us, or we see that it goes on: no run is held after the others were let go.
        function = replace(function, paused=functions.share_paused(connection, function.id))
    if function.paused == SKIP:
        return skipping.skip(
            connection,
            terms,
            function,
            arrival,
            now,
            skipping.PAUSED,
            run_id=run_id,
            batch=batch,
            repeats=repeats,
        )
    held = function.paused == HOLD
    run, first = make(
        terms, function, arrival, now, run_id=run_id, batch=batch, keep=keep and not held, repeats=repeats
    )
    newer = arrival.event if at_once else None
    cancelled, why = _take_place(connection, terms, read_spec(function.config), run, now, newer_than=newer)
    if why is not None:
        if why.code == "duplicate" and not _is_another_call(connection, run, arrival):
            return Applied(jobs=cancelled)
        skipped = skipping.skip(connection, terms, function, arrival, now, why, run_id=run.id, repeats=repeats)
        return Applied(jobs=[*cancelled, *skipped.jobs])
    deadlines = _deadlines(terms, function, run, now)
    if held:
        jobs.hold([first, *(job for job in deadlines if job.key == START_DEADLINE)])
    jobs.insert(connection, [first, *deadlines])
    cancels = [] if batch else _register_cancels(connection, function, run, arrival, now)
    if at_once and (by := _cancelled_by(connection, cancels, arrival)) is not None:
        reason = waiting.reason_of(by)
        due = cancel_run(connection, run.id, reason, now=now, hint_ms=terms.hint_ms, route_queue=terms.route_queue)
        return Applied(jobs=[*cancelled, *(due or [])])
    return Applied(jobs=[*cancelled, first], run=run if first.leased_by else None)


def _take_place(
    connection: sa.Connection, terms: Terms, spec: FunctionSpec, run: Run, now: int, *, newer_than: Event | None
) -> tuple[list[Job], skipping.Why | None]:
    """Store a run under its keys; give the jobs of runs that were cancelled for it, or why it may not be.

    Args:
        newer_than: a run whose event came after this one does not give way: it would have taken the place of this run.
    """
    due: list[Job] = []
    while (holder := runs.claim(connection, run)) is not None:
        if holder.idempotency_key is not None and holder.idempotency_key == run.idempotency_key:
            return due, skipping.duplicate(holder.id)
        if spec.singleton is None or not spec.singleton.cancels:
            return due, skipping.singleton(holder.id)
        if newer_than is not None and _is_newer(connection, holder, newer_than):
            return due, skipping.singleton(holder.id)
        reason = f"Singleton: run {run.id} takes its place"
        due += (
            cancel_run(connection, holder.id, reason, now=now, hint_ms=terms.hint_ms, route_queue=terms.route_queue)
            or []
        )
    return due, None


def _is_newer(connection: sa.Connection, holder: Run, event: Event) -> bool:
    started_by = events.get(connection, holder.event_id)
    return started_by is not None and waiting.came_after(started_by, event)


def _is_another_call(connection: sa.Connection, run: Run, arrival: Arrival) -> bool:
    """Tell whether somebody waits for a duplicate who does not wait for the first already.

    The same call may be delivered twice; its caller gets the first one's result.
    """
    if not (run.parent_run_id or run.celery):
        return False
    first = runs.holder(connection, run)
    event = events.get(connection, first.event_id) if first else None
    return event is None or event.external_id != arrival.event.external_id


def _deadlines(terms: Terms, function: FunctionRow, run: Run, now: int) -> list[Job]:
    spec = read_spec(function.config)
    limits = {START_DEADLINE: None if run.batch else spec.start_timeout_ms, "deadline:finish": spec.finish_timeout_ms}
    return [
        Job(
            subject_id=run.id,
            key=key,
            kind=JobKind.DEADLINE,
            name="",
            function_id=function.id,
            task_name="inngest.deadline",
            queue=terms.route_queue,
            created_at=now,
            opts=json.dumps({"limit": limit}),
            due_at=now + limit,
            sweep_at=now + limit,
        )
        for key, limit in limits.items()
        if limit is not None
    ]


def _register_cancels(
    connection: sa.Connection, function: FunctionRow, run: Run, arrival: Arrival, now: int
) -> list[Wait]:
    cancels = [
        waiting.wait_for(
            run.id,
            f"cancel:{index}",
            "",
            event_name=cancel.event,
            expression=cancel.expression,
            event=arrival.event,
            now=now,
            expires_at=now + cancel.window_ms,
            kind=waiting.CANCEL,
        )
        for index, cancel in enumerate(read_spec(function.config).cancel)
    ]
    waits.lock_topics(connection, cancels)
    waits.insert(connection, cancels)
    return cancels


def _cancelled_by(connection: sa.Connection, cancels: list[Wait], arrival: Arrival) -> Event | None:
    """Give the first event that came after the one that starts a run, and cancels it."""
    if not cancels:
        return None
    own = arrival.event
    for event in events.received_since(connection, {wait.event_name for wait in cancels}, own.received_at):
        fitting = (wait for wait in cancels if wait.event_name == event.name)
        if waiting.came_after(event, own) and any(waiting.matches(wait, event) for wait in fitting):
            return event
    return None
