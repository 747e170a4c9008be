"""What Celery's main process knows of a message of ours while a process of its pool works on it."""

from __future__ import annotations

import os
from typing import Any

from celery.exceptions import WorkerLostError
from celery.worker import state
from celery.worker.request import Request

from inngest_celery.worker import losses, revoking
from inngest_celery.worker.runtime import Runtime, runtime_of


class JobRequest(Request):  # type: ignore[misc]
    """A message of one of our tasks.

    When its process is killed, whoever killed it knows before anybody else: Celery's main process.
    """

    def on_timeout(self, soft: bool, timeout: float) -> None:
        super().on_timeout(soft, timeout)
        if not soft and self.worker_pid:
            losses.report(runtime_of(self.task.app), self.worker_pid, timeout)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        answer = super().on_failure(exc_info, send_failed_event, return_ok)
        # Billiard wraps what it has a traceback of.
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, WorkerLostError) and self.worker_pid:
            losses.report(runtime_of(self.task.app), self.worker_pid)
        return answer

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """Be cut off, as Celery's cold shutdown does it."""
        if runtime_of(self.task.app).kills_bodies:
            super().cancel(pool, signal, emit_retry)
            if self.worker_pid:
                losses.report(runtime_of(self.task.app), self.worker_pid)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        super().terminate(pool, signal)
        if self.worker_pid and runtime_of(self.task.app).kills_bodies:
            losses.report(runtime_of(self.task.app), self.worker_pid)


class FunctionRequest(JobRequest):
    """A message of a function's task."""

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        answer = super().on_failure(exc_info, send_failed_event, return_ok)
        if self.id in state.revoked:
            # A call that was revoked while it was stored: it is a run only now. To Celery, who stores one is ignored.
            revoking.forget(runtime_of(self.task.app), [self.id])
        return answer


def look_for_losses(runtime: Runtime) -> None:
    """Report processes of the pool that died by themselves. Celery may wait ten seconds before it says so."""
    for request in list(state.active_requests):
        pid = request.worker_pid
        if isinstance(request, JobRequest) and pid and pid != os.getpid() and not losses.is_running(pid):
            losses.report(runtime, pid)
