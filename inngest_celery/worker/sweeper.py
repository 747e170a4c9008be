"""The sweep: a bootstep in ordinary workers. One of them at a time does it, under a lease in the database."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from celery import Celery, bootsteps, signals
from celery.concurrency.prefork import TaskPool as PreforkPool
from sqlalchemy.exc import SQLAlchemyError

from inngest_celery.crash import crash_point
from inngest_celery.sdk.errors import FunctionConfigInvalidError
from inngest_celery.settings import Settings, SettingsError
from inngest_celery.store import jobs as job_rows
from inngest_celery.store import leases
from inngest_celery.store.database import DatabaseError
from inngest_celery.store.functions import CALL_TASK
from inngest_celery.store.rows import Job
from inngest_celery.worker import hints, legacy_names, revoking
from inngest_celery.worker.chores import Chores
from inngest_celery.worker.cutover import take_over
from inngest_celery.worker.flow_clock import FlowClock, tell_limits
from inngest_celery.worker.keeping.sweeping import Retention
from inngest_celery.worker.keeping.upkeep import Upkeep
from inngest_celery.worker.limited_tasks import limit_tasks
from inngest_celery.worker.registry import declared, functions_of, limited_tasks_of, synchronise
from inngest_celery.worker.requests import look_for_losses
from inngest_celery.worker.runtime import Runtime, runtime_of
from inngest_celery.worker.startup import prepare_database
from inngest_celery.worker.step_events import StepEvents
from inngest_celery.worker.task_events import tell_tasks

logger = logging.getLogger(__name__)

# So many hints are not lost by accident.
_IN_VAIN = 3


def install(app: Celery) -> None:
    """Give the app's workers the bootstep."""
    steps: Any = app.steps
    steps["worker"].add(SweepStep)


class SweepStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Registers the functions when the worker starts, then sweeps until it stops."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()
        self._sweeping = threading.Lock()
        # Before the pool forks: its children are to have all this too.
        limit_tasks(parent.app)
        take_over(parent.app)
        revoking.listen()
        runtime_of(parent.app).kills_bodies = issubclass(parent.pool_cls, PreforkPool)
        # A setting that cannot be used is told of when the worker starts.
        with suppress(SettingsError):
            tell_tasks(parent.app)
        self._events = StepEvents(parent.hostname, wanted=bool(parent.task_events))
        runtime_of(parent.app).step_events = self._events
        self._chores = Chores(self._sweeping)
        signals.worker_process_init.connect(partial(_follow, os.getpid()), weak=False)
        # What a child of the pool has not sent yet; what this process has not, see stop().
        signals.worker_process_shutdown.connect(partial(_flush_events, parent.app, self._events), weak=False)
        self._thread: threading.Thread | None = None

    def start(self, parent: Any) -> None:
        runtime = runtime_of(parent.app)
        try:
            legacy_names.check(parent.app)
            prepare_database(runtime)
            synchronise(runtime, declared(parent.app))
            tell_limits(runtime)
        except (DatabaseError, SettingsError, FunctionConfigInvalidError) as error:
            # A traceback would bury what to do. Celery stops the worker on this, with its status.
            logger.critical("%s (%s)", error, error.code, extra={"action": "worker_refused"})
            raise SystemExit(1) from error
        self._keep_forks_out()
        # A thread and not the worker's timer: a slow database must not hold up the broker's heartbeats.
        self._thread = threading.Thread(target=self._run, args=(runtime, parent), name="inngest-sweep", daemon=True)
        self._thread.start()
        self._chores.start()
        runtime.chores = self._chores

    def stop(self, parent: Any) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._chores.stop(timeout=5)
        self._events.flush(parent.app)
        runtime = runtime_of(parent.app)
        leases.release(runtime.database, leases.SWEEP, runtime.worker_name)

    def terminate(self, parent: Any) -> None:
        """Stop at once, as Celery's cold shutdown wants it: there is little to do, but that gives jobs back."""
        self.stop(parent)

    def _keep_forks_out(self) -> None:
        """Let no child of the pool begin in the middle of a sweep, with locks that nobody would release.

        The last hook to be registered is called first: the database, which has one of its own, must be there already.
        """
        lock = self._sweeping
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)

    def _run(self, runtime: Runtime, worker: Any) -> None:
        interval = runtime.settings.sweep_interval
        flow, retention, upkeep = FlowClock(runtime), Retention(runtime), Upkeep(runtime)
        pause, failing = interval, False
        next_sweep = time.monotonic() + interval
        swept: Swept | None = None
        while not self._stop.wait(pause):
            self._events.look_at(getattr(worker, "consumer", None))
            look_for_losses(runtime)
            later = None
            try:
                with self._sweeping:
                    if time.monotonic() >= next_sweep:
                        swept = sweep_once(runtime)
                        next_sweep = time.monotonic() + (0 if swept and swept.full else interval)
                    if swept is not None and retention.is_due:
                        retention.begin()
                        self._chores.add(retention.go_on)
                    if swept is not None and upkeep.is_due:
                        upkeep.begin()
                        self._chores.add(upkeep.look)
                    if swept is None:
                        flow.rest()
                    else:
                        later = flow.tick()
                failing = False
            except Exception as error:
                swept, next_sweep = None, time.monotonic() + interval
                if not failing:
                    expected = isinstance(error, SQLAlchemyError | OSError)
                    logger.warning(
                        "The sweep fails, and will go on trying: %s",
                        error,
                        exc_info=not expected,
                        extra={"action": "sweep_failed"},
                    )
                failing = True
            pause = next_sweep - time.monotonic()
            if later is not None:
                pause = min(pause, (later - runtime.clock.now()) / 1000)
            pause = max(pause, 0)


def _follow(main_process: int, **_: object) -> None:
    """End a process of the pool whose main process died while it was being started.

    Celery has the kernel kill the pool with its main process, from here on: the kernel does not look back. Such
    processes would wait for work for ever, each for the end of a pipe that the other holds.
    """
    # The main process of the pool "solo" is told of its start, too.
    if main_process not in (os.getpid(), os.getppid()):
        os._exit(1)


def _flush_events(app: Celery, events: StepEvents, **_: object) -> None:
    events.flush(app)


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep that was this worker's turn. ``full``: there may be more to do at once."""

    full: bool


def held_ms(settings: Settings) -> int:
    """Give for how long a sweep takes the lease, which the next one of the same worker prolongs."""
    return max(round(settings.sweep_interval * 5000), 2000)


def sweep_once(runtime: Runtime) -> Swept | None:
    """Hint the jobs whose time has come, whose hint was lost or whose worker died; ``None`` if another worker does."""
    settings, now = runtime.settings, runtime.clock.now()
    until = now + held_ms(settings)
    if not leases.acquire(runtime.database, leases.SWEEP, runtime.worker_name, now=now, until=until):
        return None
    jobs, full = job_rows.sweep(
        runtime.database,
        now=now,
        horizon=settings.horizon_ms,
        hint_timeout=settings.hint_timeout_ms,
        limit=settings.sweep_limit,
    )
    if jobs:
        crash_point("sweep_after_commit")
    for job in jobs:
        # Whoever held it has let its lease run out.
        job.leased_by = None
    hints.publish(runtime, jobs)
    _report_orphans(runtime, jobs)
    return Swept(full)


def _report_orphans(runtime: Runtime, jobs: list[Job]) -> None:
    """Say which functions runs wait for in vain. They go on when a worker has them again; nothing is given up."""
    # Functions that are called over the wire are no worker's own.
    ours = [job for job in jobs if job.function_id and job.task_name != CALL_TASK]
    unanswered = Counter(job.function_id for job in ours if job.hints >= _IN_VAIN)
    if not unanswered:
        return
    known = functions_of(runtime.app).keys() | limited_tasks_of(runtime.app).keys()
    for function_id in sorted(unanswered.keys() - known):
        logger.error(
            "%d job(s) of the function %s were announced %d times and no worker has taken them. If it was removed, "
            "deploy it again or cancel its runs (`inngest runs list --function %s`); else start a worker that has it.",
            unanswered[function_id],
            function_id,
            _IN_VAIN,
            function_id,
            extra={"action": "function_not_registered", "function_id": function_id},
        )
