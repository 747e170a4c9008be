"""Result backends that send results to whoever called, instead of keeping them: Celery's ``rpc://``."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.app.task import Context
from celery.backends.rpc import RPCBackend

from inngest_celery.worker.broker import producer_of

KEPT = ("reply_to", "correlation_id")


def of_call(app: Celery, task_id: str, reply_to: str | None) -> dict[str, Any]:
    """Give where a call's result is to be sent, and make sure that it can be.

    Args:
        reply_to: what a canvas says, whose next link a worker calls; this process, if nothing says it.

    Raises:
        OperationalError, AMQPError, OSError: the broker does not answer.
    """
    if not isinstance(app.backend, RPCBackend):
        return {}
    if reply_to and reply_to != app.thread_oid:
        return {"reply_to": reply_to, "correlation_id": task_id}
    with producer_of(app) as producer:
        app.backend.on_task_call(producer, task_id)
    return {"reply_to": app.thread_oid, "correlation_id": task_id}


def of_request(app: Celery, request: Context) -> dict[str, Any]:
    """Give where the result of a message's call is to be sent."""
    if not isinstance(app.backend, RPCBackend):
        return {}
    return {"reply_to": request.reply_to, "correlation_id": request.correlation_id}
