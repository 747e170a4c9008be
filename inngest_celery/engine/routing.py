"""Routing: one event, read once, starts the runs that it triggers and satisfies the waits that it matches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.clock import Clock
from inngest_celery.engine import expressions, trigger_names, waiting
from inngest_celery.engine.announcing import start_job
from inngest_celery.engine.lifecycle import INVOKED, cancelled_output, end_of
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.store import events, fast, functions, jobs, runs, schema, waits
from inngest_celery.store.changes import Applied
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.inserts import insert_new
from inngest_celery.store.rows import Event, Job, JobKind, Run, RunStatus, values

IDEMPOTENCY_MS = 86_400_000


class _TopicMissing(Exception):
    """A cancellation is to be registered for an event name that nobody has waited for before."""

    def __init__(self, names: set[str]) -> None:
        super().__init__(sorted(names))
        self.names = names


@dataclass(frozen=True, slots=True)
class Router:
    """Routes events.

    Attributes:
        database: where everything is.
        clock: the clock.
        hint_ms: how long a hint may stay unanswered.
        horizon_ms: how far ahead of its due time a job gets a hint.
        lease_ms: how long a lease lasts.
        route_queue: the queue of route jobs.
        worker: the name under which this worker holds leases.
        may_keep: tells whether this worker may take the first step of a function at once.
    """

    database: Database
    clock: Clock
    hint_ms: int
    horizon_ms: int
    lease_ms: int
    route_queue: str
    worker: str
    may_keep: Callable[[FunctionRow], bool]

    @retried
    def route(self, job: Job, event: Event) -> Applied:
        """Route one event in one transaction.

        Args:
            job: the event's route job, leased to this worker.
            event: the event.

        Returns:
            The jobs that follow; at most one of them is leased to this worker.
        """
        with self.database.autocommit() as connection:
            targets = self._targets(connection, event)
        applied = self._start_alone(job, event, targets)
        if applied is not None:
            return applied
        try:
            return self._route(job, event, targets)
        except _TopicMissing as missing:
            waits.prepare_topics(self.database, missing.names)
            return self._route(job, event, targets)

    def _route(self, job: Job, event: Event, targets: list[FunctionRow]) -> Applied:
        with self.database.transaction() as connection:
            paths = self._lock_topics(connection, event, targets)
            if not jobs.end(connection, job):
                return Applied(refused=True)
            followers: list[Job] = []
            kept: Run | None = None
            for target in targets:
                started = self._start(connection, target, event, keep=kept is None and self.may_keep(target))
                if started is not None:
                    run, first = started
                    followers.append(first)
                    kept = run if first.leased_by else kept
            if event.name == INVOKED and not targets:
                followers += self._refuse_invocation(connection, event)
            if paths is not None:
                followers += self._satisfy(connection, event, paths)
        return Applied(jobs=followers, run=kept)

    def _targets(self, connection: sa.Connection, event: Event) -> list[FunctionRow]:
        """Give the functions to start."""
        if event.name == INVOKED:
            wanted = json.loads(event.data).get("_inngest", {}).get("fn_id", "")
            found = functions.get(connection, str(wanted))
            return [found] if found is not None and found.archived_at is None else []
        named = functions.triggered_by(connection, trigger_names.candidates(event.name))
        if not named:
            return []
        variables = {"event": waiting.as_variable(event)}
        return [
            each.function
            for each in named
            if any(text is None or expressions.compile(text).matches(variables) for text in each.expressions)
        ]

    def _lock_topics(self, connection: sa.Connection, event: Event, targets: list[FunctionRow]) -> list[str] | None:
        """Lock the topics of the new runs' cancellations, then hold the event's own; see ``store.waits``."""
        names = {cancel.event for target in targets for cancel in read_spec(target.config).cancel}
        paths: list[str] | None = None
        # One order for everybody: topics are taken in the order of their names.
        for name in sorted({*names, event.name}):
            if name in names and not waits.lock_topic(connection, name):
                raise _TopicMissing(names)
            if name == event.name:
                paths = waits.share_topic(connection, name)
        return paths

    # Starting runs

    def _start_alone(self, job: Job, event: Event, targets: list[FunctionRow]) -> Applied | None:
        """Start the one run of an event that does nothing else, in one statement; ``None`` when it is not that simple.

        PostgreSQL only, see ``store.fast``.
        """
        if self.database.dialect != "postgresql" or len(targets) != 1:
            return None
        function, spec = targets[0], read_spec(targets[0].config)
        run, first = self._prepare(function, event, keep=self.may_keep(function))
        if run.idempotency_key is not None or spec.cancel or self._deadlines(function, run, spec, run.created_at):
            return None
        if not fast.start_run(self.database, job, event, run, first):
            return None
        return Applied(jobs=[first], run=run if first.leased_by else None)

    def _prepare(self, function: FunctionRow, event: Event, *, keep: bool) -> tuple[Run, Job]:
        """Make a run and its first job, not stored yet."""
        now = self.clock.now()
        run = Run(
            id=ids.new(now),
            function_id=function.id,
            event_id=event.id,
            idempotency_key=_idempotency_key(function.id, event),
            status=RunStatus.SCHEDULED.value,
            created_at=now,
        )
        if event.name == INVOKED:
            _take_invocation(run, event)
        first = self._first_job(function, run, event, now, keep=keep)
        if first.leased_by is not None:
            run.status, run.started_at = RunStatus.RUNNING.value, now
        return run, first

    def _start(
        self, connection: sa.Connection, function: FunctionRow, event: Event, *, keep: bool
    ) -> tuple[Run, Job] | None:
        """Start a run, unless one has been started for this function and event id within a day."""
        run, first = self._prepare(function, event, keep=keep)
        if run.idempotency_key is not None and not _claim_key(connection, run):
            return None
        now, spec = run.created_at, read_spec(function.config)
        if run.idempotency_key is None:
            runs.insert(connection, run)
        else:
            connection.execute(sa.update(schema.run).where(schema.run.c.id == run.id).values(**values(run)))
        jobs.insert(connection, [first, *self._deadlines(function, run, spec, now)])
        cancels = [
            waiting.wait_for(
                run.id,
                f"cancel:{index}",
                "",
                event_name=cancel.event,
                expression=cancel.expression,
                event=event,
                now=now,
                expires_at=now + cancel.window_ms,
                kind=waiting.CANCEL,
            )
            for index, cancel in enumerate(spec.cancel)
        ]
        waits.lock_topics(connection, cancels)
        waits.insert(connection, cancels)
        return run, first

    def _first_job(self, function: FunctionRow, run: Run, event: Event, now: int, *, keep: bool) -> Job:
        due_at = max(now, event.ts)
        job = start_job(function, run.id, now=now, due_at=due_at, hint_ms=self.hint_ms, horizon_ms=self.horizon_ms)
        if due_at <= now and keep:
            job.leased_by, job.fence, job.hints = self.worker, 1, 0
            job.leased_until = job.sweep_at = now + self.lease_ms
        return job

    def _refuse_invocation(self, connection: sa.Connection, event: Event) -> list[Job]:
        """Tell the invoking step that there is no such function."""
        wanted = json.loads(event.data).get("_inngest", {}).get("fn_id", "")
        run_id, _, key = _correlation(event).partition(".")
        error = {"name": "Error", "message": f"could not find function with ID: {wanted}", "stack": None}
        now = self.clock.now()
        memo = f'{{"error":{json.dumps(error)}}}'
        resumed = waits.resume(connection, run_id, key, memo, now=now, sweep_at=now + self.hint_ms)
        return [resumed] if resumed else []

    def _deadlines(self, function: FunctionRow, run: Run, spec: FunctionSpec, now: int) -> list[Job]:
        limits = {"start": spec.start_timeout_ms, "finish": spec.finish_timeout_ms}
        return [
            Job(
                subject_id=run.id,
                key=f"deadline:{name}",
                kind=JobKind.DEADLINE,
                name="",
                function_id=function.id,
                task_name="inngest.deadline",
                queue=self.route_queue,
                created_at=now,
                opts=json.dumps({"limit": limit}),
                due_at=now + limit,
                sweep_at=now + limit,
            )
            for name, limit in limits.items()
            if limit is not None
        ]

    # Satisfying waits

    def _satisfy(self, connection: sa.Connection, event: Event, paths: list[str]) -> list[Job]:
        """Resume and cancel what waited for this event."""
        now = self.clock.now()
        # Read once: the event may be megabytes, and thousands of runs may wait for its name.
        variable, memo = waiting.as_variable(event), waits.event_memo(event)
        found = waits.candidates(connection, event.name, waiting.anchors(paths, variable), now)
        followers: list[Job] = []
        # One order for everybody, so that two events that concern the same runs do not wait for each other.
        for wait in sorted(found, key=lambda wait: (wait.run_id, wait.key)):
            if not waiting.satisfies(variable, wait):
                continue
            run = runs.get(connection, wait.run_id)
            # What started a run neither resumes nor cancels it.
            if run is None or run.event_id == event.id:
                continue
            if wait.kind == waiting.CANCEL:
                reason = f"cancelled by event {event.name} ({event.external_id})"
                followers += self._cancel(connection, wait.run_id, reason, now)
                continue
            resumed = waits.resume(connection, wait.run_id, wait.key, memo, now=now, sweep_at=now + self.hint_ms)
            followers += [resumed] if resumed else []
        return followers

    def _cancel(self, connection: sa.Connection, run_id: str, reason: str, now: int) -> list[Job]:
        due = cancel_run(connection, run_id, reason, now=now, hint_ms=self.hint_ms, route_queue=self.route_queue)
        return due or []


def cancel_run(
    connection: sa.Connection,
    run_id: str,
    reason: str,
    *,
    now: int,
    hint_ms: int,
    route_queue: str,
) -> list[Job] | None:
    """Cancel a run that has not ended.

    Returns:
        The jobs that are due now, or ``None`` when there is no such run or it has ended.
    """
    run = runs.lock(connection, run_id)
    if run is None or RunStatus(run.status).ended:
        return None
    event = events.get(connection, run.event_id)
    if event is None:
        event = Event(run.event_id, "", run.event_id, "{}", run.created_at, run.created_at)
    end = end_of(
        run,
        event,
        RunStatus.CANCELLED,
        cancelled_output(),
        now=now,
        hint_ms=hint_ms,
        route_queue=route_queue,
        reason=reason[:255],
    )
    return runs.finish(connection, run, end)


def _idempotency_key(function_id: str, event: Event) -> str | None:
    """Only an id that the sender chose can come twice."""
    if event.external_id == event.id:
        return None
    return hashlib.sha256(f"{function_id}\0{event.external_id}".encode()).hexdigest()


def _claim_key(connection: sa.Connection, run: Run) -> bool:
    """Insert the run under its idempotency key; false when another run of the last day has it."""
    table = schema.run
    connection.execute(
        sa.update(table)
        .where(table.c.idempotency_key == run.idempotency_key, table.c.created_at <= run.created_at - IDEMPOTENCY_MS)
        .values(idempotency_key=None)
    )
    insert_new(connection, table, [values(run)])
    holder = sa.select(table.c.id).where(table.c.idempotency_key == run.idempotency_key)
    return connection.execute(holder).scalar_one_or_none() == run.id


def _take_invocation(run: Run, event: Event) -> None:
    """Note who invoked a run: a step of another run, or Celery code."""
    details = json.loads(event.data)["_inngest"]
    correlation = details.get("correlation_id")
    if correlation:
        run.parent_run_id, _, run.parent_step_id = str(correlation).partition(".")
    celery = details.get("celery")
    if celery:
        run.id, run.celery = details["run_id"], json.dumps(celery)


def _correlation(event: Event) -> str:
    return str(json.loads(event.data).get("_inngest", {}).get("correlation_id", ""))
