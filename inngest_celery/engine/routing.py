"""Routing: one event, read once, starts the runs that it triggers and satisfies the waits that it matches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.clock import Clock
from inngest_celery.engine import accepting, expressions, invoking, starting, trigger_names, waiting
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.cancelling import cancel_run
from inngest_celery.engine.lifecycle import INVOKED
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.engine.terms import Terms
from inngest_celery.store import events, fast, functions, jobs, runs, waits
from inngest_celery.store.changes import Applied
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import Event, Job, Run

Rate = Callable[[FunctionSpec, Arrival], bool]
"""Tells whether a function's rate limit lets an event through. Asked twice about the same, it says the same twice."""


def no_rate_limit(spec: FunctionSpec, arrival: Arrival) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Router:
    """Routes events.

    Attributes:
        database: where everything is.
        clock: the clock.
        terms: what this worker brings to the jobs that it makes.
        may_keep: tells whether this worker may take the first step of a function at once.
        rate: asks a function's rate limit, before the transaction: it is no business of the database.
    """

    database: Database
    clock: Clock
    terms: Terms
    may_keep: Callable[[FunctionRow], bool]
    rate: Rate = no_rate_limit

    @retried
    def route(self, job: Job, event: Event) -> Applied:
        """Route one event in one transaction.

        Args:
            job: the event's route job, leased to this worker.
            event: the event.

        Returns:
            The jobs that follow; at most one of them is leased to this worker.
        """
        arrival = Arrival(event)
        targets = self._targets(arrival)
        limited = frozenset(target.id for target in targets if self._is_limited(target, arrival))
        if len(targets) == 1 and not limited:
            applied = self._start_alone(job, arrival, targets[0])
            if applied is not None:
                return applied
        return starting.with_topics(self.database, lambda: self._route(job, arrival, targets, limited))

    def _is_limited(self, function: FunctionRow, arrival: Arrival) -> bool:
        if not accepting.asks_rate_limit(function, arrival):
            return False
        return not self.rate(read_spec(function.config), arrival)

    def _route(self, job: Job, arrival: Arrival, targets: list[FunctionRow], limited: frozenset[str]) -> Applied:
        event = arrival.event
        with self.database.transaction() as connection:
            paths = self._lock_topics(connection, event, targets)
            if not jobs.end(connection, job):
                return Applied(refused=True)
            now = self.clock.now()
            followers: list[Job] = []
            cancelled: list[str] = []
            kept: Run | None = None
            for target in targets:
                keep = kept is None and self.may_keep(target)
                is_limited = target.id in limited
                accepted = accepting.accept(connection, self.terms, target, arrival, now, limited=is_limited, keep=keep)
                followers += accepted.jobs
                kept = kept or accepted.run
            if event.name == INVOKED and not targets:
                followers += invoking.refuse(connection, self.terms, arrival, now)
            if paths is not None:
                followers += self._satisfy(connection, arrival, paths, cancelled)
        return Applied(jobs=followers, run=kept, cancelled=cancelled)

    def _targets(self, arrival: Arrival) -> list[FunctionRow]:
        """Give the functions that the event concerns."""
        event = arrival.event
        if event.name == INVOKED:
            with self.database.autocommit() as connection:
                found = functions.find(connection, invoking.wanted(arrival))
            return [found] if found is not None and found.archived_at is None else []
        named = functions.triggered_by(self.database, trigger_names.candidates(event.name))
        if not named:
            return []
        variables = {"event": arrival.variable}
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
                raise starting.TopicMissing(names)
            if name == event.name:
                paths = waits.share_topic(connection, name)
        return paths

    def _start_alone(self, job: Job, arrival: Arrival, function: FunctionRow) -> Applied | None:
        """Start the one run of an event that does nothing else, in one statement; ``None`` when it is not that simple.

        PostgreSQL only, see ``store.fast``.
        """
        if self.database.dialect != "postgresql" or not accepting.starts_at_once(function, arrival):
            return None
        # Always the same id: what a power failure takes back of this start, the next route of the event starts again.
        run_id = ids.derived(ids.time_of(job.subject_id), job.subject_id, function.id)
        now, keep = self.clock.now(), self.may_keep(function)
        run, first = starting.make(self.terms, function, arrival, now, run_id=run_id, keep=keep)
        if not starting.is_plain(function, run):
            return None
        if not fast.start_run(self.database, job, arrival.event, run, first):
            return None
        return Applied(jobs=[first], run=run if first.leased_by else None)

    def _satisfy(
        self, connection: sa.Connection, arrival: Arrival, paths: list[str], cancelled: list[str]
    ) -> list[Job]:
        """Resume and cancel what waited for this event; note which runs are cancelled."""
        now, event = self.clock.now(), arrival.event
        # Read once: the event may be megabytes, and thousands of runs may wait for its name.
        variable, memo, more = arrival.variable, waits.event_memo(event), waits.answered_with(event)
        # It may be routed late, but it came when it came.
        found = waits.candidates(connection, event.name, waiting.anchors(paths, variable), event.received_at)
        found = [wait for wait in found if waiting.satisfies(variable, wait)]
        taken = waits.taken_before(connection, event, found)
        followers: list[Job] = []
        # One order for everybody, so that two events that concern the same runs do not wait for each other.
        for wait in sorted(found, key=lambda wait: (wait.run_id, wait.key)):
            run = runs.get(connection, wait.run_id)
            # What started a run neither resumes nor cancels it, and what has resumed it does so once.
            if run is None or run.event_id == event.id or (wait.run_id, wait.key) in taken:
                continue
            if wait.kind == waiting.CANCEL:
                started_by = events.get(connection, run.event_id)
                if started_by is not None and waiting.came_after(started_by, event):
                    continue
                followers += self._cancel(connection, wait.run_id, waiting.reason_of(event), now)
                cancelled.append(wait.run_id)
                continue
            resumed = waits.resume(
                connection, wait.run_id, wait.key, memo, now=now, sweep_at=now + self.terms.hint_ms, more=more
            )
            followers += [resumed] if resumed else []
        return followers

    def _cancel(self, connection: sa.Connection, run_id: str, reason: str, now: int) -> list[Job]:
        terms = self.terms
        due = cancel_run(connection, run_id, reason, now=now, hint_ms=terms.hint_ms, route_queue=terms.route_queue)
        return due or []
