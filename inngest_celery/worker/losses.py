"""Jobs in the hands of a process that is gone: its worker's main process has seen it end, and gives them back.

Without this they would wait until their lease has run out, which is what still happens when the main process ends too.
Every statement is under the fence of the process that is gone: what it has written, or another one has since, stays.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from inngest_celery.engine.losing import stopped
from inngest_celery.engine.report import Failure
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.flow.places import place_of_job, run_resources
from inngest_celery.sdk.errors import ErrorCode
from inngest_celery.store import functions as function_rows
from inngest_celery.store import jobs as job_rows
from inngest_celery.store.rows import Attempt, Job, JobKind
from inngest_celery.worker import hints
from inngest_celery.worker.admission import Slot
from inngest_celery.worker.chores import NotYet
from inngest_celery.worker.registry import functions_of
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.turns import Turns

logger = logging.getLogger(__name__)

# The work of a run; other jobs have nothing that could count as a failed attempt.
_OF_RUNS = frozenset({JobKind.START, JobKind.STEP, JobKind.RESUME, JobKind.SLEEP, JobKind.TIMEOUT})


def time_limit_of(name: str, seconds: float) -> Failure:
    """Give what a step fails with that was stopped."""
    return Failure(
        name="StepTimeLimitError",
        message=f"{name} took longer than its time_limit of {seconds:g} s, and its process was killed. Raise the limit "
        "or let the step do less.",
        code=ErrorCode.STEP_TIME_LIMIT,
    )


def report(runtime: Runtime, pid: int, seconds: float | None = None) -> None:
    """Have the jobs of a process of this worker's pool given back, once it is gone.

    Args:
        seconds: the time limit that it was killed for.
    """
    if runtime.chores is not None:
        runtime.chores.add(partial(give_back, runtime, pid, seconds))


def give_back(runtime: Runtime, pid: int, seconds: float | None) -> None:
    """Count what a process did as a failed attempt if its time was up; else let others take it up at once.

    Raises:
        NotYet: the process is there still.
    """
    if is_running(pid):
        raise NotYet
    _give_back(runtime, runtime.name_of_process(pid), seconds)


def give_back_own(runtime: Runtime) -> None:
    """Let others take up what this process holds: it ends now."""
    _give_back(runtime, runtime.worker_name, None)


def is_running(pid: int) -> bool:
    """Tell whether a process runs. One that only waits for its parent to take note of its end does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        # Where there is no such file.
        return True


def _give_back(runtime: Runtime, owner: str, seconds: float | None) -> None:
    now = runtime.clock.now()
    held = job_rows.held_by(runtime.database, owner, now=now, lease=runtime.settings.lease_ms)
    for job in held:
        spec = _spec_of(runtime, job) if seconds is not None and job.kind in _OF_RUNS else None
        if spec is None or seconds is None:
            _free(runtime, job)
        else:
            _stop(runtime, job, spec, time_limit_of(job.name or "The code of the function", seconds))
    # A run that was kept holds its places under the name of the job with which it was taken up.
    for tag, holder in {(place_of_job(job).tag, job.leased_by) for job in held if job.flow and job.leased_by}:
        hints.send(runtime, runtime.admission.bury(tag, holder))


def _spec_of(runtime: Runtime, job: Job) -> FunctionSpec | None:
    function = functions_of(runtime.app).get(job.function_id)
    if function is not None:
        return read_spec(function.wire_text)
    with runtime.database.autocommit() as connection:
        row = function_rows.get(connection, job.function_id)
    return read_spec(row.config) if row is not None else None


def _stop(runtime: Runtime, job: Job, spec: FunctionSpec, failure: Failure) -> None:
    claimed = job_rows.read(runtime.database, job)
    if claimed is not None and claimed.run is not None and claimed.event is not None:
        _StoppedTurn(runtime, claimed, spec, job.task_name, "", _slot_of(job)).record(failure)


def _free(runtime: Runtime, job: Job) -> None:
    """Let a job be taken up again: at once the first time, and later and later if it takes its processes down."""
    lost = job.fence - job.attempt
    now = runtime.clock.now()
    due_at = now + (0 if lost < 2 else min(1000 * 2 ** (lost - 2), runtime.settings.lease_ms))
    free = replace(
        job, leased_by=None, leased_until=None, due_at=due_at, sweep_at=due_at + runtime.settings.hint_timeout_ms
    )
    if not job_rows.free(runtime.database, job, free, _attempt(job, now, due_at)):
        return
    logger.warning(
        "The process that worked on %s of %s is gone; others go on with it.",
        job.name or job.key,
        job.subject_id,
        extra={"action": "job_given_back", "run_id": job.subject_id, "step": job.key},
    )
    hints.publish(runtime, [free], _slot_of(job))


def _attempt(job: Job, now: int, due_at: int) -> Attempt | None:
    if job.kind not in _OF_RUNS:
        return None
    failure = Failure("WorkerLostError", "The worker's process ended while it executed this.", code="worker_lost")
    return Attempt(
        run_id=job.subject_id,
        step_id=job.key if job.kind is JobKind.STEP else "",
        job_key=job.key,
        fence=job.fence,
        attempt=job.attempt,
        name=job.name if job.kind is JobKind.STEP else "",
        error=failure.to_json(),
        started_at=now,
        ended_at=now,
        retry_at=due_at,
        worker=job.leased_by,
    )


def _slot_of(job: Job) -> Slot | None:
    """Give the places that the process held for a job, to be given up for it."""
    if job.flow is None or job.leased_by is None:
        return None
    return Slot(place_of_job(job), job.leased_by, run_resources(job.flow), until=0)


class _StoppedTurn(Turns):
    """The turn of a process that was killed, as far as it can be recorded for it."""

    def record(self, failure: Failure) -> None:
        self._hot = False
        changes = stopped(self._turn(), failure)
        applied = self._apply(changes)
        # It may have come to its end just then.
        if not applied.refused:
            logger.warning("%s", failure.message, extra={"action": failure.code, "run_id": self._run.id})
        self._follow_up(changes, applied, [])

    def _carry_on(self, switch_lease: Callable[[Job], None]) -> None:
        raise NotImplementedError("the function is not there to be carried on")
