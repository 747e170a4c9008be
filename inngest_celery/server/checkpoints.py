"""Checkpoints: an SDK that goes on with a run by itself reports each step that it has done, while its call lasts."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inngest_celery.drivers.http.defers import defers_of
from inngest_celery.drivers.http.ops import Op, read_ops
from inngest_celery.drivers.http.reading import outcomes_of
from inngest_celery.engine import limits
from inngest_celery.engine.recording import step_of
from inngest_celery.engine.report import Report
from inngest_celery.server import bodies
from inngest_celery.server.access import require_signing_key
from inngest_celery.server.documents import body_of
from inngest_celery.server.errors import ApiError, Refusal
from inngest_celery.server.runs import checked
from inngest_celery.server.state import Server, Serving
from inngest_celery.store import events, extending, runs

router = APIRouter(prefix="/v1/checkpoint", dependencies=[Depends(require_signing_key)], tags=["checkpoint"])

MAX_BODY = 8 * 1024 * 1024

_STALE: dict[str, Any] = {"model": Refusal, "description": "The call, or the run, is another's by now."}


class Checkpoint(BaseModel):
    """Steps that were done under a call.

    Attributes:
        qi_id: the job that the call was made for, as the call named it.
        generation_id: its generation: another call may have been made since.
        steps: the operations, as in an answer.
    """

    model_config = ConfigDict(extra="ignore")

    qi_id: str
    generation_id: int = 1
    steps: list[dict[str, object]] = Field(min_length=1)


@router.post("/{run_id}/async", responses={409: _STALE}, openapi_extra=body_of(Checkpoint))
async def record(request: Request, server: Serving, run_id: str) -> dict[str, object]:
    """Record steps, and leave the call's job as it is: whoever takes it over goes on from them."""
    body = await bodies.read(request, MAX_BODY, "answer with the steps")
    try:
        given = Checkpoint.model_validate(bodies.json_of(body))
        ops = read_ops(given.steps, server.runtime.clock.now())
    except (ValidationError, ValueError) as error:
        raise ApiError(400, f"the checkpoint is not understood: {error}", code="body_invalid") from error
    await run_in_threadpool(_record, server, checked(run_id), given, ops)
    return {"data": {"run_id": run_id}}


def _record(server: Server, run_id: str, given: Checkpoint, ops: list[Op]) -> None:
    now = server.runtime.clock.now()
    subject, _, key = given.qi_id.partition(".")
    outcomes = outcomes_of(ops, now)
    if subject != run_id or outcomes is None:
        raise ApiError(400, "a checkpoint holds finished steps of its own run", code="body_invalid")
    if any(limits.too_large(outcome) for outcome in outcomes):
        raise ApiError(413, f"a step's output may have {limits.STEP_BYTES} bytes", code="output_too_large")
    report = _masked(server, run_id, Report(outcomes, defers=defers_of(ops, run_id, now)))
    held = extending.Held(run_id, key, given.generation_id)
    steps = [step_of(outcome, run_id, queued_at=now, worker=None) for outcome in report.outcomes]
    if not extending.extend(server.runtime.database, held, steps, report.defers):
        raise ApiError(
            409, "the call is stale: its run has ended, or another call goes on with it", code="stale_dispatch"
        )


def _masked(server: Server, run_id: str, report: Report) -> Report:
    """Mask what is not to be stored. Which rules hold is asked only where there are some."""
    door = server.runtime.door
    if not door.masker:
        return report
    with server.runtime.database.autocommit() as connection:
        run = runs.get(connection, run_id)
        event = events.get(connection, run.event_id) if run else None
    # Without a run the checkpoint is refused.
    return report if run is None else door.report(report, run.function_id, event.name if event else None)
