"""Calls that are executed here and now, as Celery's ``apply()`` and ``task_always_eager`` do with any task.

The run has an SQLite database to itself, which goes when it has ended, and time passes at once where it sleeps, waits
or retries. So neither a broker nor the app's database is needed, nor touched. No limits hold, and no crons tick.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery

from inngest_celery import ids
from inngest_celery.clock import TravellingClock
from inngest_celery.store import runs, schema
from inngest_celery.store.database import Database
from inngest_celery.store.rows import JobKind, Run, RunStatus
from inngest_celery.worker import bridge, call_options
from inngest_celery.worker.in_process import InProcess
from inngest_celery.worker.registry import functions_of, synchronise
from inngest_celery.worker.runtime import Runtime

if TYPE_CHECKING:
    from inngest_celery.worker.tasks import FunctionTask

# Celery itself hands an eager result on.
_LEAVE = frozenset({JobKind.CRON, JobKind.DELIVER})


def execute(task: FunctionTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a function from start to end, and give its output.

    Functions that it invokes, or that events of its steps trigger, run too.

    Raises:
        StepError: it failed, as ``AsyncResult.get()`` would say it.
        RunSkippedError: there was no run: a rule of the function's own forbids it.
    """
    with _own_runtime(task.app) as runtime:
        run_id = ids.new(runtime.clock.now())
        data, message = bridge.data_of(task, args, kwargs), call_options.of_request(task.request)
        bridge.invoke(runtime, task, task.inngest_function_id, run_id, run_id, data, {}, message)
        run = _ended(runtime, run_id)
    output = json.loads(run.output or "null")
    if run.status != RunStatus.COMPLETED:
        raise bridge.as_exception(output)
    return output


@contextmanager
def _own_runtime(app: Celery) -> Iterator[Runtime]:
    runtime = Runtime(app)
    runtime.sends_hints = False
    with tempfile.TemporaryDirectory() as directory:
        database = Database(f"sqlite:///{Path(directory) / 'eager.db'}", keyring=runtime.keyring)
        runtime.__dict__.update(clock=TravellingClock(), database=database)
        try:
            schema.metadata.create_all(database.engine)
            synchronise(runtime, functions_of(app).values())
            yield runtime
        finally:
            database.dispose()


def _ended(runtime: Runtime, run_id: str) -> Run:
    """Do all that is due, and let time pass, until a run has ended; then what is due just then."""
    jobs, clock = InProcess(runtime, _LEAVE), runtime.clock
    assert isinstance(clock, TravellingClock)
    while True:
        jobs.drain()
        with runtime.database.autocommit() as connection:
            run = runs.get(connection, run_id)
        if run is not None and RunStatus(run.status).ended:
            return run
        due_at = jobs.next_due()
        if due_at is None:
            raise RuntimeError(f"run {run_id} has not ended, and nothing carries it on")
        clock.advance(max(due_at - clock.now(), 0))
