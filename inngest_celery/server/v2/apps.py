"""``/v2/apps``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field

from inngest_celery import ids, trace_context
from inngest_celery.server import events as event_api
from inngest_celery.server.access import Operator, audit
from inngest_celery.server.errors import ApiError
from inngest_celery.server.paging import read_position, write_cursor
from inngest_celery.server.state import Server, Serving
from inngest_celery.server.v2.runs import Limit, shaped
from inngest_celery.server.v2.shapes import (
    Answer,
    AppShape,
    FunctionShape,
    Listed,
    Refusal,
    RunShape,
    Shape,
    answered,
    app_shape,
    function_shape,
    listed,
)
from inngest_celery.server.v2.tools import as_tool
from inngest_celery.store import apps, functions, listing
from inngest_celery.store.apps import AppRow
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.listing import Order, RunFilter

router = APIRouter(prefix="/apps")

_REFUSED: dict[int | str, dict[str, Any]] = {
    409: {"model": Refusal, "description": "The key was used for another call."},
    422: {"model": Refusal, "description": "The function does not take the call now."},
}


class InvokeRequest(Shape):
    """A call.

    Attributes:
        data: what the function gets as its event's data.
        idempotency_key: the same one again within a day is the same call.
    """

    data: dict[str, Any] = Field(default_factory=dict)
    idempotency_key: str | None = Field(None, max_length=400)


class Invoked(Shape):
    run_id: str


@router.get("", openapi_extra=as_tool("get_apps"))
def list_apps(server: Serving) -> Listed[AppShape]:
    """Give all apps: those that are called over the wire, and those in Python code."""
    with server.runtime.database.autocommit() as connection:
        found = apps.all_of(connection)
        known = functions.all_of(connection)
    shapes = [app_shape(app, sum(_starts_runs(row, app) for row in known)) for app in apps.with_python(found, known)]
    return listed(server, shapes, None, more=False, limit=max(len(shapes), 1))


@router.get("/{app_id}", openapi_extra=as_tool("get_app"))
def get_app(server: Serving, app_id: str) -> Answer[AppShape]:
    """Give an app, by its name or UUID."""
    app, found = _app(server, app_id)
    return answered(server, app_shape(app, len(found)))


@router.get("/{app_id}/functions", openapi_extra=as_tool("list_functions"))
def list_functions(server: Serving, app_id: str) -> Listed[FunctionShape]:
    """Give the functions of an app: their ids, triggers and configuration."""
    _, found = _app(server, app_id)
    return listed(server, [function_shape(row) for row in found], None, more=False, limit=max(len(found), 1))


@router.get("/{app_id}/functions/{function_id}", openapi_extra=as_tool("get_function"))
def get_function(server: Serving, app_id: str, function_id: str) -> Answer[FunctionShape]:
    """Give a function, by its full id, its id within the app, or its UUID."""
    return answered(server, function_shape(_function(server, app_id, function_id)))


@router.get("/{app_id}/functions/{function_id}/runs", openapi_extra=as_tool("list_function_runs"))
def list_runs(
    server: Serving, app_id: str, function_id: str, cursor: str | None = None, limit: Limit = 20
) -> Listed[RunShape]:
    """Give the runs of a function, the newest first."""
    function = _function(server, app_id, function_id)
    order = Order(after=read_position(cursor))
    with server.runtime.database.autocommit() as connection:
        found = listing.page(connection, RunFilter(function_ids=[function.id]), order, limit + 1)
    shown = found[:limit]
    end = write_cursor(*listing.position(shown[-1], order.field)) if shown else None
    return listed(server, shaped(server, shown, with_output=False), end, more=len(found) > limit, limit=limit)


@router.post(
    "/{app_id}/functions/{function_id}/invoke",
    status_code=201,
    responses=_REFUSED,
    openapi_extra=as_tool("invoke_function"),
)
def invoke(
    request: Request, server: Serving, person: Operator, app_id: str, function_id: str, given: InvokeRequest
) -> Answer[Invoked]:
    """Call a function, whatever triggers it; answers with the id of its run at once, or says why there is none."""
    function = _function(server, app_id, function_id)
    trace = trace_context.read(request.headers)
    with audit.record(request, person, "function.invoke", function.id) as entry:
        run_id = event_api.call_for_run(server, function, given.data, given.idempotency_key, trace)
        entry.tell(run_id=run_id)
    return answered(server, Invoked(run_id=run_id))


def _app(server: Server, app_id: str) -> tuple[AppRow, list[FunctionRow]]:
    with server.runtime.database.autocommit() as connection:
        every = apps.with_python(apps.all_of(connection), functions.all_of(connection))
        found = next((app for app in every if app_id in (app.id, ids.app_uuid(app.id))), None)
        known = functions.of_app(connection, found.id) if found else []
    if found is None:
        raise ApiError(404, f"There is no app {app_id}", code="not_found")
    return found, known


def _function(server: Server, app_id: str, function_id: str) -> FunctionRow:
    with server.runtime.database.autocommit() as connection:
        known = [row for row in functions.all_of(connection) if row.archived_at is None]
    of_app = [row for row in known if app_id in (row.app_id, ids.app_uuid(row.app_id))]
    names = {function_id, f"{of_app[0].app_id}-{function_id}" if of_app else function_id}
    found = next((row for row in of_app if row.id in names or ids.function_uuid(row.id) == function_id), None)
    if found is None:
        raise ApiError(404, f"App {app_id} has no function {function_id}", code="not_found")
    return found


def _starts_runs(row: FunctionRow, app: AppRow) -> bool:
    return row.app_id == app.id and row.archived_at is None
