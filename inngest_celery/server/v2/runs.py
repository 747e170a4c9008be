"""``/v2/runs``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from inngest_celery import ids
from inngest_celery.engine.spec import read_spec
from inngest_celery.server import reports
from inngest_celery.server.access import Operator, Viewer, audit
from inngest_celery.server.errors import ApiError
from inngest_celery.server.paging import read_position, write_cursor
from inngest_celery.server.runs import checked
from inngest_celery.server.state import Server, Serving
from inngest_celery.server.times import read_instant
from inngest_celery.server.tracing import trace_of
from inngest_celery.server.v2.shapes import (
    Answer,
    Listed,
    Refusal,
    RunShape,
    Shape,
    SpanShape,
    answered,
    listed,
    run_shape,
    span_shape,
)
from inngest_celery.server.v2.tools import as_tool
from inngest_celery.server.viewing import eyes_of
from inngest_celery.store import details, functions, listing, runs
from inngest_celery.store.listing import Order, RunFilter, RunTime
from inngest_celery.store.rows import Run, RunStatus
from inngest_celery.worker.rerunning import RerunError, rerun
from inngest_celery.worker.runs import RunEndedError, RunNotFoundError, Runs

router = APIRouter(prefix="/runs")

Status = Literal["QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED"]
TimeField = Literal["queuedAt", "startedAt", "endedAt"]
_FIELDS = {"queuedAt": RunTime.QUEUED_AT, "startedAt": RunTime.STARTED_AT, "endedAt": RunTime.ENDED_AT}
_CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": Refusal, "description": "The run has ended."}}
_MARKDOWN: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/markdown": {"schema": {"type": "string"}}}, "description": "The report."}
}
Limit = Annotated[int, Query(ge=1, le=100)]


class Repeated(Shape):
    run_id: str


class FromStep(Shape):
    """Where to begin.

    Attributes:
        step_id: the hash of a recorded step, or its id.
        input: what it is called with instead.
    """

    step_id: str
    input: list[Any] | None = None


class RerunRequest(Shape):
    from_step: FromStep | None = None


@router.get("", openapi_extra=as_tool("list_runs"))
def list_runs(
    server: Serving,
    cursor: str | None = None,
    limit: Limit = 20,
    since: Annotated[str | None, Query(alias="from")] = None,
    until: str | None = None,
    time_field: Annotated[TimeField, Query(alias="timeField")] = "queuedAt",
    status: Annotated[list[Status] | None, Query()] = None,
    app_id: Annotated[list[str] | None, Query(alias="appId")] = None,
    function_id: Annotated[list[str] | None, Query(alias="functionId")] = None,
    order: Literal["ASC", "DESC"] = "DESC",
    include_output: Annotated[bool, Query(alias="includeOutput")] = False,
) -> Listed[RunShape]:
    """Give runs of all functions, the newest first, page by page."""
    field = _FIELDS[time_field]
    wanted = RunFilter(
        since=read_instant(since, "from"),
        until=read_instant(until, "until"),
        field=field,
        statuses=[RunStatus.SCHEDULED if each == "QUEUED" else RunStatus[each] for each in status or ()],
        function_ids=_function_ids(server, app_id, function_id),
    )
    ordered = Order(field, order == "DESC", read_position(cursor))
    with server.runtime.database.autocommit() as connection:
        found = listing.page(connection, wanted, ordered, limit + 1)
    shown = found[:limit]
    end = write_cursor(*listing.position(shown[-1], field)) if shown else None
    shapes = shaped(server, shown, with_output=include_output)
    return listed(server, shapes, end, more=len(found) > limit, limit=limit)


@router.get("/{run_id}", openapi_extra=as_tool("get_run"))
def get_run(server: Serving, run_id: str) -> Answer[RunShape]:
    """Give a run with its output."""
    return answered(server, shaped(server, [_run(server, run_id)], with_output=True)[0])


@router.get("/{run_id}/trace", openapi_extra=as_tool("get_run_trace"))
def get_trace(server: Serving, run_id: str) -> Answer[SpanShape]:
    """Give what happened in a run, and what it waits for, as a tree: its steps and attempts with times and errors."""
    run = _run(server, run_id)
    with server.runtime.database.autocommit() as connection:
        found = details.of_runs(connection, [run.id])[run.id]
        function = functions.get(connection, run.function_id)
    name = read_spec(function.config).name if function else run.function_id
    return answered(server, span_shape(trace_of(run, name, eyes_of(server).details(found, run.function_id))))


@router.get("/{run_id}/report", openapi_extra=as_tool("get_run_report"))
def get_report(server: Serving, person: Viewer, run_id: str) -> Answer[dict[str, Any]]:
    """Give a run as a report: what models were asked and answered, each step, approvals, errors, and who did what.

    It has what the caller may see: only admins are told who did what. `digest` is the SHA-256 of the RFC 8785 form of
    all else in `data`. Its names are in snake case, as in `inngest-celery runs report --json`.
    """
    return answered(server, reports.report_for(server, person, run_id))


@router.get("/{run_id}/report.md", response_model=None, responses=_MARKDOWN)
def get_report_as_text(server: Serving, person: Viewer, run_id: str) -> Response:
    """Give the same as Markdown, with long values cut."""
    made = reports.report_for(server, person, run_id)
    return Response(reports.as_markdown(made), media_type="text/markdown; charset=utf-8")


@router.post("/{run_id}/cancel", responses=_CONFLICT, openapi_extra=as_tool("cancel_run"))
def cancel(request: Request, server: Serving, person: Operator, run_id: str) -> Answer[RunShape]:
    """Cancel a run that has not ended. A step that executes is not stopped, but its result is dropped."""
    run = _run(server, run_id)
    if RunStatus(run.status) is RunStatus.CANCELLED:
        raise ApiError(409, f"Run {run_id} is cancelled already", code="run_already_cancelled")
    try:
        with audit.record(request, person, "run.cancel", run_id):
            Runs(server.runtime.app).cancel(run_id)
    except RunNotFoundError as error:
        raise ApiError(404, str(error), code="not_found") from error
    except RunEndedError as error:
        raise ApiError(409, str(error), code="run_already_ended") from error
    return get_run(server, run_id)


@router.post("/{run_id}/rerun", status_code=201, openapi_extra=as_tool("rerun"))
def run_again(
    request: Request, server: Serving, person: Operator, run_id: str, given: RerunRequest | None = None
) -> Answer[Repeated]:
    """Run a run again, from its beginning or from a step, and give the new run's id."""
    step = given.from_step if given else None
    try:
        with audit.record(
            request,
            person,
            "run.rerun",
            checked(run_id),
            _details(step),
        ) as entry:
            new_id = rerun(
                server.runtime,
                run_id,
                from_step=step.step_id if step else None,
                step_input=step.input if step else None,
            )
            entry.tell(run_id=new_id)
    except RunNotFoundError as error:
        raise ApiError(404, str(error), code="not_found") from error
    except RerunError as error:
        raise ApiError(400, str(error), code="invalid_request") from error
    return answered(server, Repeated(run_id=new_id))


def shaped(server: Server, found: list[Run], *, with_output: bool) -> list[RunShape]:
    """Give runs as they are answered with: two statements for all of them."""
    with server.runtime.database.autocommit() as connection:
        known = functions.several(connection, {run.function_id for run in found})
        batches = [run.id for run in found if run.batch]
        starters = listing.starters(connection, batches) if batches else {}
    eyes = eyes_of(server)
    return [
        run_shape(
            eyes.run(run), known.get(run.function_id), starters.get(run.id) or [run.event_id], with_output=with_output
        )
        for run in found
    ]


def _details(step: FromStep | None) -> dict[str, object]:
    return {"from_step": step.step_id, "edited": step.input is not None} if step else {}


def _run(server: Server, run_id: str) -> Run:
    with server.runtime.database.autocommit() as connection:
        run = runs.get(connection, checked(run_id))
    if run is None:
        raise ApiError(404, f"There is no run {run_id}", code="not_found")
    return run


def _function_ids(server: Server, app_ids: list[str] | None, wanted: list[str] | None) -> set[str] | None:
    """Give the functions that are meant, by their ids or UUIDs and those of their apps; ``None`` if all are."""
    if app_ids is None and wanted is None:
        return None
    with server.runtime.database.autocommit() as connection:
        known = functions.all_of(connection)
    found = {row.id for row in known}
    if app_ids is not None:
        found &= {row.id for row in known if row.app_id in app_ids or ids.app_uuid(row.app_id) in app_ids}
    if wanted is not None:
        found &= {row.id for row in known if row.id in wanted or ids.function_uuid(row.id) in wanted}
    return found
