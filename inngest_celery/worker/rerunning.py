"""Running a run again: a new run of the same function on the same events, from the beginning or from a step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.engine import starting
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.spec import read_spec
from inngest_celery.store import events, functions, jobs, outcomes, runs
from inngest_celery.store.changes import Applied
from inngest_celery.store.conflicts import retried
from inngest_celery.store.functions import CALL_TASK
from inngest_celery.store.rows import Job, JobKind, Run, Step
from inngest_celery.worker import hints
from inngest_celery.worker.routing import terms_of
from inngest_celery.worker.runs import RunNotFoundError
from inngest_celery.worker.runtime import Runtime


class RerunError(ValueError):
    """A run cannot be repeated as it was asked for. ``code`` is ``rerun_refused``."""

    code = "rerun_refused"


def rerun(
    runtime: Runtime, run_id: str, *, from_step: str | None = None, step_input: Sequence[object] | None = None
) -> str:
    """Start a run again. Its idempotency and rate limit do not count: whoever asks for it wants it.

    Args:
        run_id: the run to repeat; it may have ended or not.
        from_step: the hash of a step, or its id. What was recorded before it is taken over, and not executed again.
        step_input: what that step is called with instead; only for functions that are called over the wire.

    Returns:
        The id of the new run.

    Raises:
        RunNotFoundError: there is no such run.
        RerunError: its function is gone, there is no such step, or its input cannot be changed.
    """
    step_input = None if step_input is None else runtime.door.given(list(step_input))
    new_id = ids.new(runtime.clock.now())
    applied = starting.with_topics(runtime.database, lambda: _rerun(runtime, run_id, new_id, from_step, step_input))
    hints.publish(runtime, applied.jobs)
    return new_id


@retried
def rerun_once(runtime: Runtime, run_id: str, new_id: str) -> Sequence[Job] | None:
    """Start a run again under an id that was chosen for it, unless there is a run with that id.

    It may be repeated, also by several at once. Nobody is told of the jobs.

    Returns:
        The jobs that are due, or ``None`` if it was done before.

    Raises:
        RunNotFoundError, RerunError: as of :func:`rerun`.
    """
    try:
        return starting.with_topics(runtime.database, lambda: _rerun(runtime, run_id, new_id, once=True)).jobs
    except _DoneBefore:
        return None


class _DoneBefore(Exception):
    """There is a run of the id that was chosen for the new one."""


def _rerun(
    runtime: Runtime,
    run_id: str,
    new_id: str,
    from_step: str | None = None,
    step_input: Sequence[object] | None = None,
    *,
    once: bool = False,
) -> Applied:
    now = runtime.clock.now()
    with runtime.database.transaction() as connection:
        run = runs.get(connection, run_id)
        if run is None:
            raise RunNotFoundError(run_id)
        function = functions.get(connection, run.function_id)
        event = events.get(connection, run.event_id)
        if function is None or function.archived_at is not None or event is None:
            raise RerunError(f"the function {run.function_id} is not registered any more, or its event is gone")
        if step_input is not None and function.task_name != CALL_TASK:
            raise RerunError("only a step of a function that is called over the wire can get another input")
        starting.lock_topics(connection, read_spec(function.config))
        # Of two that do this at once, one waits here, and then sees the other's run. Nobody deletes it meanwhile.
        if runs.lock(connection, run_id) is None:
            raise RunNotFoundError(run_id)
        if once and runs.get(connection, new_id):
            raise _DoneBefore
        taken = _taken_over(connection, run, new_id, from_step)
        arrival = Arrival(event)
        applied = starting.start(
            connection, terms_of(runtime), function, arrival, now, run_id=new_id, batch=run.batch, repeats=run.id
        )
        for starter in events.of_run(connection, run.id) if run.batch else ():
            events.add_starter(connection, new_id, starter.id)
        if from_step is not None:
            outcomes.append(connection, taken)
            first = jobs.lock(connection, new_id, "start")
            if first is not None:
                opts = _inputs(connection, run, from_step, step_input)
                jobs.update(connection, first, replace(first, kind=JobKind.RESUME, opts=opts))
    return applied


def _taken_over(connection: sa.Connection, run: Run, new_id: str, from_step: str | None) -> list[Step]:
    """Give the steps that were recorded before one, for another run."""
    if from_step is None:
        return []
    key = _key_of(connection, run, from_step)
    taken: list[Step] = []
    for step in runs.steps(connection, run.id):
        if step.id == key:
            break
        taken.append(replace(step, run_id=new_id))
    return taken


def _key_of(connection: sa.Connection, run: Run, step: str) -> str:
    recorded = runs.steps(connection, run.id)
    found = next((each.id for each in recorded if step in (each.id, each.name)), None)
    if found is None:
        raise RerunError(
            f"run {run.id} has no step {step!r}; it has {', '.join(each.name for each in recorded) or 'none'}"
        )
    return found


def _inputs(connection: sa.Connection, run: Run, from_step: str, step_input: Sequence[object] | None) -> str | None:
    """Give what the first job keeps: what a step is to be called with instead."""
    if step_input is None:
        return None
    return json.dumps({"inputs": {_key_of(connection, run, from_step): json.dumps({"input": list(step_input)})}})
