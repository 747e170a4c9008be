"""The checkpoint: carry out one :class:`Changes` in one transaction, or refuse it whole."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from inngest_celery.opcodes import Opcode
from inngest_celery.store import costs, defers, events, fast, jobs, outcomes, runs, signals, subjects, waits
from inngest_celery.store.changes import Applied, Changes
from inngest_celery.store.conflicts import retried
from inngest_celery.store.database import Database
from inngest_celery.store.rows import Event, Job, JobKind, RunStatus, Wait

Matches = Callable[[Wait, Event], bool]


@retried
def apply(database: Database, changes: Changes, matches: Matches) -> Applied:
    """Write a checkpoint.

    Args:
        changes: what to write, under the lease of ``changes.job``.
        matches: tells whether an event satisfies a wait.

    Returns:
        What was written; ``refused`` when the lease was lost or the run has ended, and then nothing was.
    """
    simple = database.dialect == "postgresql" and fast.fits(changes)
    if simple and not subjects.concerns(database.subjects, changes):
        done = fast.apply(database, changes)
        # A run that has put calls off does not end so fast; the plain way tells that from a lost lease.
        if not done.refused or changes.end is None:
            return done
    applied = _apply(database, changes, matches)
    if applied is None:
        waits.prepare_topics(database, (wait.event_name for wait in changes.waits))
        applied = _apply(database, changes, matches)
        if applied is None:
            raise RuntimeError("a topic that was just made is gone: nothing deletes topics while workers run")
    return applied


def _apply(database: Database, changes: Changes, matches: Matches) -> Applied | None:
    """Give ``None``, having written nothing, when a topic is missing."""
    with database.transaction() as connection:
        if changes.waits and not waits.lock_topics(connection, changes.waits):
            return None
        return apply_on(connection, changes, matches)


def apply_on(connection: sa.Connection, changes: Changes, matches: Matches) -> Applied:
    """Write a checkpoint in a transaction that somebody else ends; its waits, if any, have locked their topics.

    Returns:
        What was written. What is ``refused``, or has a ``conflict``, has written nothing.
    """
    run = runs.lock(connection, changes.run_id)
    if run is None or RunStatus(run.status).ended:
        return Applied(refused=True)
    conflict = signals.conflict(connection, changes)
    if conflict is not None:
        return Applied(conflict=conflict)
    if not _end_job(connection, changes):
        return Applied(refused=True)
    signals.take_over(connection, changes)
    if changes.job.kind is JobKind.TIMEOUT:
        _note_wait(connection, changes)
    paid = costs.record(connection, changes.costs)
    (outcomes.append if changes.parallel else outcomes.record)(connection, changes.steps)
    runs.record_attempts(connection, changes.attempts)
    defers.record(connection, changes.run_id, changes.defers)
    if changes.end is not None:
        # The last step may have sent events.
        routes = _send(connection, changes)
        return Applied(jobs=[*routes, *runs.finish(connection, run, changes.end)], costs=paid)
    if run.status == RunStatus.SCHEDULED:
        runs.start(connection, run.id, changes.now)
    inserted = jobs.insert_missing(connection, changes.jobs)
    planned = {job.key for job in inserted}
    waits.insert(connection, [wait for wait in changes.waits if wait.key in planned])
    inserted = _resume_satisfied(connection, changes, inserted, run.event_id, matches)
    routes = _send(connection, changes)
    news = _has_news(connection, changes, inserted)
    if changes.onward is not None:
        inserted += jobs.insert_missing(connection, [changes.onward]) if news else []
        news = False
    elif news:
        # The worker goes on with what it has not seen, under the lease that it has.
        jobs.insert(connection, [changes.job])
    if changes.rescue is not None and not inserted and not jobs.any_left(connection, changes.run_id):
        inserted = jobs.insert_missing(connection, [changes.rescue])
    due = [*inserted, *routes, *([changes.again] if changes.again else [])]
    return Applied(jobs=due, costs=paid, news=news)


def _note_wait(connection: sa.Connection, changes: Changes) -> None:
    """End the wait that is over, and keep with its step what it was for."""
    wait = waits.take(connection, changes.run_id, changes.job.key)
    for step in changes.steps:
        if wait is not None and step.id == changes.job.key:
            step.waited = waits.waited_for(wait)


def _send(connection: sa.Connection, changes: Changes) -> list[Job]:
    """Store the events that are new, and give their route jobs.

    A replay comes to the same invocation again, and its event has the same id; it must not be routed again, though its
    route job is done and gone. The run is locked, so nobody else stores it meanwhile.
    """
    if not changes.events:
        return []
    known = events.known(connection, [event.id for event in changes.events])
    routes = [job for job in changes.routes if job.subject_id not in known]
    events.insert(connection, [event for event in changes.events if event.id not in known])
    jobs.insert(connection, routes)
    return routes


def _has_news(connection: sa.Connection, changes: Changes, inserted: list[Job]) -> bool:
    """Tell whether a blocked function, of which this worker keeps no other step, could go on after all.

    The run is locked: of two workers that finish its last two steps, the second one to come here sees both.
    """
    if changes.known is None or any(job.leased_by for job in inserted):
        return False
    if changes.onward_after_all and jobs.any_left(connection, changes.run_id):
        return False
    return outcomes.count(connection, changes.run_id) > changes.known


def _end_job(connection: sa.Connection, changes: Changes) -> bool:
    if changes.again is not None:
        return jobs.update(connection, changes.job, changes.again)
    return jobs.end(connection, changes.job)


def _resume_satisfied(
    connection: sa.Connection, changes: Changes, inserted: list[Job], trigger_id: str, matches: Matches
) -> list[Job]:
    """Resume the new waits that an event satisfies which came in while they were being registered."""
    open_waits = [wait for wait in changes.waits if wait.kind == Opcode.WAIT_FOR_EVENT.value]
    if not open_waits:
        return inserted
    names = {wait.event_name for wait in open_waits}
    found = [event for event in events.received_since(connection, names, changes.asked_at) if event.id != trigger_id]
    result = {job.key: job for job in inserted}
    taken = {event.id: waits.taken_before(connection, event, open_waits) for event in found}
    for wait in open_waits:
        mine = (wait.run_id, wait.key)
        fitting = (event for event in found if event.name == wait.event_name and mine not in taken[event.id])
        event = next((event for event in fitting if matches(wait, event)), None)
        if event is None or wait.key not in result:
            continue
        job = waits.resume(
            connection,
            wait.run_id,
            wait.key,
            waits.event_memo(event),
            now=changes.now,
            sweep_at=result[wait.key].sweep_at,
            more=waits.answered_with(event),
        )
        if job is not None:
            result[wait.key] = job
    return list(result.values())
