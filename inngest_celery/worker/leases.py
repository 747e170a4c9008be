"""Keeps this process's leases alive while the bodies of steps run."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import redis
from sqlalchemy.exc import SQLAlchemyError

from inngest_celery.store import jobs as job_rows
from inngest_celery.store.rows import Job
from inngest_celery.worker.admission import Slot
from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

Held: TypeAlias = tuple[Job | None, Slot | None]


class LeaseKeeper:
    """Renews the leases of the jobs that this process works on, from a thread of its own."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._held: dict[int, Held] = {}
        self._process = 0
        self._guard = threading.Lock()

    @contextmanager
    def hold(self, job: Job | None, slot: Slot | None = None) -> Iterator[_Hold]:
        """Keep a job's lease, and its places, for the length of the block; the block may go on to a following job.

        A limited task is no job in the database: it has places only.
        """
        hold = _Hold(self._held, threading.get_ident(), slot)
        with self._guard:
            self._ensure_thread()
            hold.switch(job)
        try:
            yield hold
        finally:
            hold.release()

    def _ensure_thread(self) -> None:
        if self._process != os.getpid():
            # After a fork, what is held is held by the other process.
            self._held.clear()
            self._process = os.getpid()
            threading.Thread(target=self._run, name="inngest-leases", daemon=True).start()

    def _is_idle(self) -> bool:
        """Tell the thread that it may end; the next job to be held begins another."""
        with self._guard:
            if not self._held:
                self._process = 0
            return not self._held

    def _run(self) -> None:
        settings, clock = self._runtime.settings, self._runtime.clock
        pause = threading.Event()
        while not pause.wait(settings.lease / 3) and not self._is_idle():
            now = clock.now()
            # A job that was taken a moment ago has a fresh lease; hot steps come and go without any renewal. Their
            # places are those with which the run was taken up, and age meanwhile.
            held, fresh = list(self._held.values()), now + settings.lease_ms * 0.8
            aged = [job for job, _ in held if job is not None and (job.leased_until or 0) < fresh]
            lost = self._renew(aged, now + settings.lease_ms) if aged else []
            for job, slot in held:
                if slot is not None and slot.until < fresh:
                    self._hold_places(slot, job, lost=job is not None and job in lost)

    def _renew(self, jobs: list[Job], until: int) -> list[Job]:
        """Prolong leases; give those that are known to be lost."""
        try:
            lost = job_rows.renew(self._runtime.database, jobs, until)
        except Exception as error:
            # The next round tries again. A lease that runs out meanwhile is fenced off: nothing is recorded twice.
            logger.warning(
                "Could not renew %d lease(s): %s",
                len(jobs),
                error,
                exc_info=not isinstance(error, SQLAlchemyError),
                extra={"action": "lease_not_renewed"},
            )
            return []
        for job in jobs:
            if job not in lost:
                job.leased_until = until
        held = [job for job, _ in list(self._held.values())]
        for job in lost:
            if job not in held:
                continue
            logger.warning(
                "Lost the lease of %s of run %s: it ended, was cancelled, or another worker has it. "
                "What is being done for it will not be recorded.",
                job.name or job.key,
                job.subject_id,
                extra={"action": "lease_lost", "run_id": job.subject_id, "step": job.key},
            )
        return lost

    def _hold_places(self, slot: Slot, job: Job | None, *, lost: bool) -> None:
        try:
            self._runtime.admission.hold(slot, job, lost=lost)
        except redis.RedisError as error:
            # They may be given to others if this lasts for a lease; then a limit is exceeded by what runs here.
            logger.warning(
                "Could not prolong the places of %s in Redis: %s",
                job.name if job is not None and job.name else slot.place.job,
                error,
                extra={"action": "places_not_held", "job": slot.place.job},
            )


class _Hold:
    """One thread's current job."""

    def __init__(self, held: dict[int, Held], thread: int, slot: Slot | None) -> None:
        self._held = held
        self._thread = thread
        self._slot = slot

    def switch(self, job: Job | None) -> None:
        self._held[self._thread] = job, self._slot

    def release(self) -> None:
        self._held.pop(self._thread, None)
