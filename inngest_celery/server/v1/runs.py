"""``/v1/runs``."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from inngest_celery.server.access import Operator, audit
from inngest_celery.server.errors import REFUSALS, ApiError
from inngest_celery.server.runs import checked
from inngest_celery.server.state import Serving
from inngest_celery.server.times import instant, instant_or_none
from inngest_celery.server.v1.shapes import Envelope, RunShape, enveloped, run_shape
from inngest_celery.store import functions, jobs, runs
from inngest_celery.worker.runs import RunEndedError, RunNotFoundError, Runs

router = APIRouter(prefix="/runs", responses=REFUSALS)


class JobShape(BaseModel):
    """Something that is still to be done for a run."""

    id: str
    kind: str
    name: str
    enqueued_at: str
    run_at: str
    attempt: int
    leased_until: str | None = None


@router.get("/{run_id}")
def get_run(server: Serving, run_id: str) -> Envelope[RunShape]:
    """Give a run."""
    with server.runtime.database.autocommit() as connection:
        run = runs.get(connection, checked(run_id))
        function = functions.get(connection, run.function_id) if run else None
    if run is None:
        raise ApiError(404, f"There is no run {run_id}", code="not_found")
    return enveloped(server, run_shape(server, run, function))


@router.delete("/{run_id}", response_class=Response)
def cancel_run(request: Request, server: Serving, person: Operator, run_id: str) -> Response:
    """Cancel a run. One that has ended stays as it is."""
    try:
        with audit.record(request, person, "run.cancel", checked(run_id)):
            Runs(server.runtime.app).cancel(run_id)
    except RunNotFoundError as error:
        raise ApiError(404, str(error), code="not_found") from error
    except RunEndedError:
        # Cancelling what is over is what whoever asked for it wanted.
        pass
    return Response(status_code=200)


@router.get("/{run_id}/jobs")
def jobs_of_run(server: Serving, run_id: str) -> Envelope[list[JobShape]]:
    """Give what is still to be done for a run."""
    with server.runtime.database.autocommit() as connection:
        found = jobs.of_subject(connection, checked(run_id))
    shapes = [
        JobShape(
            id=f"{job.subject_id}.{job.key}",
            kind=job.kind.value,
            name=job.name,
            enqueued_at=instant(job.created_at),
            run_at=instant(job.due_at),
            attempt=job.attempt,
            leased_until=instant_or_none(job.leased_until),
        )
        for job in found
    ]
    return enveloped(server, shapes)
