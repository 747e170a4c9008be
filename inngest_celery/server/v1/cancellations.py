"""``/v1/cancellations``: many runs of a function are cancelled at once, by workers, in the background."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from inngest_celery import ids
from inngest_celery.engine import expressions, mass_cancelling
from inngest_celery.server.access import Operator, audit
from inngest_celery.server.errors import REFUSALS, ApiError
from inngest_celery.server.runs import checked
from inngest_celery.server.state import Server, Serving
from inngest_celery.server.times import instant, instant_or_none, read_instant
from inngest_celery.server.v1.shapes import Envelope, enveloped
from inngest_celery.server.viewing import eyes_of
from inngest_celery.store import cancellations, functions, jobs
from inngest_celery.store.cancellations import Cancellation
from inngest_celery.store.conflicts import retried
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import Job
from inngest_celery.worker import hints

router = APIRouter(prefix="/cancellations", responses=REFUSALS)

# Runs that are started from now on are nobody's to cancel yet; clocks may differ by so much.
_AHEAD_MS = 5000


class CancellationRequest(BaseModel):
    """Which runs to cancel."""

    model_config = ConfigDict(extra="ignore")

    app_id: str
    function_id: str
    started_after: str | None = None
    started_before: str = Field(min_length=1)
    condition: str | None = Field(None, alias="if")


class CancellationShape(BaseModel):
    """A request, and how far it has been carried out."""

    id: str
    name: str
    account_id: str = ids.ACCOUNT
    environment_id: str = ids.ENVIRONMENT
    app_id: str
    function_id: str
    function_internal_id: str
    started_after: str | None
    started_before: str
    condition: str | None = Field(serialization_alias="if")
    kind: str = "run"
    created_at: str
    cancelled: int
    ended_at: str | None


@router.post("", status_code=201)
def cancel_many(
    request: Request, server: Serving, person: Operator, given: CancellationRequest
) -> Envelope[CancellationShape]:
    """Cancel the runs of a function that were started in a time, and whose event an expression is true of.

    Steps that execute are not stopped, but their results are dropped.
    """
    now = server.runtime.clock.now()
    before = read_instant(given.started_before, "started_before")
    assert before is not None
    after = read_instant(given.started_after, "started_after")
    if before > now + _AHEAD_MS:
        raise ApiError(400, "started_before is in the future", code="invalid_request")
    if after is not None and after >= before:
        raise ApiError(400, "started_after is not before started_before", code="invalid_request")
    if given.condition:
        try:
            expressions.compile(given.condition, names=frozenset({"event"}))
        except expressions.ExpressionError as error:
            raise ApiError(400, f"if: {error}", code=error.code) from error
    function = _function(server, given)
    cancellation = Cancellation(
        id=ids.new(now),
        app_id=function.app_id,
        function_id=function.id,
        started_after=after,
        started_before=before,
        expression=given.condition or None,
        created_at=now,
    )
    # The expression may hold personal data; it stands with the cancellation.
    with audit.record(request, person, "run.cancel_many", function.id, {"cancellation": cancellation.id}):
        job = _store(server, cancellation)
    hints.publish(server.runtime, [job])
    return enveloped(server, _shape(server, cancellation))


@router.get("")
def list_cancellations(
    server: Serving, limit: Annotated[int, Query(ge=1, le=100)] = 20, cursor: str | None = None
) -> Envelope[list[CancellationShape]]:
    """Give requests, the newest first."""
    with server.runtime.database.autocommit() as connection:
        found = cancellations.page(connection, limit, checked(cursor) if cursor else None)
    return enveloped(server, [_shape(server, each) for each in found])


@router.delete("/{cancellation_id}")
def take_back(request: Request, server: Serving, person: Operator, cancellation_id: str) -> dict[str, Any]:
    """Forget a request. Runs that it has cancelled stay cancelled."""
    checked(cancellation_id)
    with (
        audit.record(request, person, "cancellation.delete", cancellation_id),
        server.runtime.database.transaction() as connection,
    ):
        if not cancellations.delete(connection, cancellation_id):
            raise ApiError(404, f"There is no cancellation {cancellation_id}", code="not_found")
    return {"ok": True}


def _function(server: Server, given: CancellationRequest) -> FunctionRow:
    """Find the function, by its full id, its id within the app, or its UUID."""
    with server.runtime.database.autocommit() as connection:
        found = functions.find(connection, given.function_id)
        if found is None:
            found = functions.find(connection, f"{given.app_id}-{given.function_id}")
    if found is None or given.app_id not in (found.app_id, ids.app_uuid(found.app_id)):
        raise ApiError(404, f"App {given.app_id} has no function {given.function_id}", code="not_found")
    return found


@retried
def _store(server: Server, cancellation: Cancellation) -> Job:
    runtime = server.runtime
    hint_ms = runtime.settings.hint_timeout_ms
    job = mass_cancelling.job_of(cancellation, now=cancellation.created_at, hint_ms=hint_ms, queue=runtime.route_queue)
    with runtime.database.transaction() as connection:
        cancellations.insert(connection, cancellation)
        jobs.insert(connection, [job])
    return job


def _shape(server: Server, cancellation: Cancellation) -> CancellationShape:
    return CancellationShape(
        id=cancellation.id,
        name=cancellation.id,
        app_id=cancellation.app_id,
        function_id=cancellation.function_id,
        function_internal_id=ids.function_uuid(cancellation.function_id),
        started_after=instant_or_none(cancellation.started_after),
        started_before=instant(cancellation.started_before),
        condition=eyes_of(server).expression(cancellation.expression),
        created_at=instant(cancellation.created_at),
        cancelled=cancellation.cancelled,
        ended_at=instant_or_none(cancellation.ended_at),
    )
