"""Events that wait to start a run, together or one for all: a job for each function and key, with what is known.

It is a job like any other, so what is pending survives whatever a job survives.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.engine import invoking
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.policies import digest, value_of
from inngest_celery.engine.spec import read_spec
from inngest_celery.engine.starting import lock_topics, with_topics
from inngest_celery.engine.terms import Terms
from inngest_celery.store import events, functions, jobs
from inngest_celery.store.changes import Applied
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import Job, JobKind

TASKS = {JobKind.DEBOUNCE: "inngest.debounce", JobKind.BATCH: "inngest.batch"}

Begin = Callable[[sa.Connection, Terms, FunctionRow, dict[str, Any], int], Applied]
"""Starts the run of what was pending, from its options."""


def open_or_join(
    connection: sa.Connection,
    terms: Terms,
    function: FunctionRow,
    kind: JobKind,
    key: str | None,
    arrival: Arrival,
    opts: dict[str, Any],
    now: int,
    due_at: int,
) -> tuple[Job, dict[str, Any], bool]:
    """Lock what is pending for a key; open it with these options if there is nothing yet.

    Two that open at once: one waits for the other's commit, and joins. One that comes while the job goes off waits for
    that too, and opens the next.

    Args:
        key: an expression; each value of it has one of its own. Empty text is no key.
        opts: what the job notes if it is new; the id of the run to be comes with it.
        due_at: when it goes off if it is new.

    Returns:
        The job, its options, and whether it is new.
    """
    value = None if key is None else value_of(key, {"event": arrival.variable})
    run_id = ids.new(now)
    fresh = Job(
        # It has no run yet: what is pending is the function's.
        subject_id=ids.stand_in(function.id),
        key=kind.value if key is None or value == "" else f"{kind.value}:{digest(value)}",
        kind=kind,
        name="",
        function_id=function.id,
        task_name=TASKS[kind],
        queue=terms.route_queue,
        created_at=now,
        due_at=due_at,
        # The sweep sends its hint when it is due: most are moved, or full, before that.
        sweep_at=due_at,
        opts=json.dumps({"run": run_id, **opts}),
    )
    while True:
        jobs.insert(connection, [fresh])
        found = jobs.lock(connection, fresh.subject_id, fresh.key)
        if found is not None:
            noted = json.loads(found.opts or "{}")
            return found, noted, noted["run"] == run_id


def note(connection: sa.Connection, job: Job, opts: dict[str, Any], *, due_at: int | None = None) -> None:
    """Write a locked job's options, and when it goes off if that has changed."""
    changed = replace(job, opts=json.dumps(opts))
    if due_at is not None and due_at != job.due_at:
        changed = replace(changed, due_at=due_at, sweep_at=due_at, hints=0)
    jobs.update(connection, job, changed)


@retried
def go_off(database: Database, terms: Terms, job: Job, now: int, begin: Begin) -> Applied:
    """Start the run of what was pending, in one transaction.

    Args:
        job: what is pending, leased to this worker.
        now: milliseconds.
        begin: starts it.

    Returns:
        The jobs that follow; ``refused`` when the job is gone or somebody else's.
    """
    with database.autocommit() as connection:
        function = functions.get(connection, job.function_id)
    return with_topics(database, lambda: _go_off(database, terms, job, function, now, begin))


def _go_off(
    database: Database, terms: Terms, job: Job, function: FunctionRow | None, now: int, begin: Begin
) -> Applied:
    with database.transaction() as connection:
        if function is not None:
            lock_topics(connection, read_spec(function.config))
        found = jobs.lock(connection, job.subject_id, job.key)
        if found is None or found.fence != job.fence:
            return Applied(refused=True)
        if found.due_at > now:
            # An event has moved it since this worker took it.
            jobs.update(connection, found, replace(found, leased_by=None, leased_until=None, sweep_at=found.due_at))
            return Applied()
        jobs.end(connection, found)
        opts = json.loads(found.opts or "{}")
        if function is not None and function.archived_at is None:
            return begin(connection, terms, function, opts, now)
        events.forget_starters(connection, opts["run"])
        event = events.get(connection, opts["event"])
        return Applied(jobs=invoking.refuse(connection, terms, Arrival(event), now) if event else [])
