"""What Celery's main process knows of a message of ours while a process of its pool works on it."""

from __future__ import annotations

from typing import Any

from celery.worker import state
from celery.worker.request import Request

from inngest_celery.worker import revoking
from inngest_celery.worker.runtime import runtime_of


class FunctionRequest(Request):  # type: ignore[misc]
    """A message of a function's task."""

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        answer = super().on_failure(exc_info, send_failed_event, return_ok)
        if self.id in state.revoked:
            # A call that was revoked while it was stored: it is a run only now. To Celery, who stores one is ignored.
            revoking.forget(runtime_of(self.task.app), [self.id])
        return answer
