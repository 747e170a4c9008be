"""Messages of functions' calls that are due later: a row from the moment a worker sees them, not a message.

Celery's workers hold a message with an ETA until then, unacknowledged, and Redis delivers it again each hour. Ours
start the run at once; the run waits for its time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.utils.time import maybe_iso8601
from celery.worker.strategy import default

from inngest_celery.worker.hints import HEADER

DUE = "inngest_due"


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Make what handles the messages of a function's task."""
    handle: Callable[..., Any] = default(task, app, consumer, **options)

    def handle_due(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **more: Any) -> Any:
        headers = message.headers or {}
        # A hint's ETA is within the horizon, and its to wait for.
        if headers.get("eta") and not headers.get(HEADER) and not _expires_first(headers):
            message.headers = {**headers, "eta": None, "expires": None, DUE: headers["eta"]}
        return handle(message, body, ack, reject, callbacks, **more)

    return handle_due


def _expires_first(headers: dict[str, Any]) -> bool:
    """Tell whether a message has expired by the time when it is due; Celery then drops it."""
    try:
        expires, eta = maybe_iso8601(headers.get("expires")), maybe_iso8601(headers["eta"])
        return expires is not None and eta is not None and expires <= eta
    except (TypeError, ValueError):
        # One with a time zone and one without, or no time at all: Celery says what it makes of that.
        return True
