"""``/v1/signals``."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from inngest_celery.opcodes import Opcode
from inngest_celery.server.access import Operator, audit
from inngest_celery.server.errors import REFUSALS, ApiError
from inngest_celery.server.state import Server, Serving
from inngest_celery.server.v1.shapes import Envelope, enveloped
from inngest_celery.store import signals
from inngest_celery.store.conflicts import retried
from inngest_celery.store.rows import Job
from inngest_celery.worker import hints

router = APIRouter(prefix="/signals", responses=REFUSALS)


class Signal(BaseModel):
    """A signal to send."""

    signal: str = Field(min_length=1, max_length=480)
    data: Any = None


class Resumed(BaseModel):
    """The run that waited for it."""

    run_id: str


@router.post("")
def send_signal(request: Request, server: Serving, person: Operator, given: Signal) -> Envelope[Resumed]:
    """Resume the run that waits for a signal. It is not kept for one that waits later."""
    with audit.record(request, person, "signal.send", given.signal) as entry:
        job = _send(server, given)
        if job is None:
            raise ApiError(404, "No signal found: no run waits for it", code="not_found")
        entry.tell(run_id=job.subject_id)
    hints.publish(server.runtime, [job])
    return enveloped(server, Resumed(run_id=job.subject_id))


@retried
def _send(server: Server, given: Signal) -> Job | None:
    runtime, memo = server.runtime, json.dumps({"data": {"signal": given.signal, "data": given.data}})
    memo = runtime.door.memo(memo, Opcode.WAIT_FOR_SIGNAL.value, "", None)
    now = runtime.clock.now()
    with runtime.database.transaction() as connection:
        sweep_at = now + runtime.settings.hint_timeout_ms
        return signals.send(connection, given.signal, memo, now=now, sweep_at=sweep_at)
