"""What can be changed."""

from __future__ import annotations

import json
from typing import Annotated, Any

import strawberry
from strawberry.types import Info

from inngest_celery import ids
from inngest_celery.server import events as event_api
from inngest_celery.server import registration, syncing
from inngest_celery.server.addresses import normalised
from inngest_celery.server.errors import ApiError
from inngest_celery.server.graphql.acting import acting
from inngest_celery.server.graphql.apps import App
from inngest_celery.server.graphql.loading import Loader, loader_of
from inngest_celery.server.graphql.runs import FunctionRun, run_by_id
from inngest_celery.server.graphql.scalars import ULID, Bytes, Map
from inngest_celery.store import apps as app_rows
from inngest_celery.store.apps import AppRow
from inngest_celery.worker.rerunning import RerunError, rerun
from inngest_celery.worker.runs import RunEndedError, RunNotFoundError, Runs


@strawberry.input
class CreateAppInput:
    url: str


@strawberry.input
class UpdateAppInput:
    id: str
    url: str


@strawberry.input
class RerunFromStepInput:
    step_id: str = strawberry.field(name="stepID")
    input: Bytes | None = None


@strawberry.input
class CreateDebugSessionInput:
    workspace_id: strawberry.ID = strawberry.ID("local")
    function_slug: str
    run_id: str | None = strawberry.field(name="runID", default=None)


@strawberry.type
class CreateDebugSessionResponse:
    debug_session_id: ULID = strawberry.field(name="debugSessionID")
    debug_run_id: ULID = strawberry.field(name="debugRunID")


@strawberry.type
class Mutation:
    @strawberry.mutation
    def create_app(self, info: Info[Any, Any], input: CreateAppInput) -> App:
        return _synchronised(info, input.url)

    @strawberry.mutation
    def update_app(self, info: Info[Any, Any], input: UpdateAppInput) -> App:
        return _synchronised(info, input.url)

    @strawberry.mutation
    def delete_app(self, info: Info[Any, Any], id: str) -> str:
        found = next((app for app in loader_of(info).apps.values() if id in (ids.app_uuid(app.id), app.id)), None)
        if found is None or not _removed(info, found.id):
            raise ApiError(404, f"There is no app {id}", code="not_found")
        return id

    @strawberry.mutation
    def delete_app_by_name(self, info: Info[Any, Any], name: str) -> bool:
        return _removed(info, name)

    @strawberry.mutation
    def invoke_function(
        self,
        info: Info[Any, Any],
        function_slug: str,
        data: Map | None = None,
        meta: Map | None = None,
        user: Map | None = None,
        debug_session_id: Annotated[ULID | None, strawberry.argument(name="debugSessionID")] = None,
        debug_run_id: Annotated[ULID | None, strawberry.argument(name="debugRunID")] = None,
    ) -> bool | None:
        with acting(info, "function.invoke", function_slug) as entry:
            event_id = event_api.call(loader_of(info).server, function_slug, {"data": data or {}, "user": user})
            entry.tell(event_id=event_id)
        return True

    @strawberry.mutation
    def cancel_run(
        self, info: Info[Any, Any], run_id: Annotated[ULID, strawberry.argument(name="runID")]
    ) -> FunctionRun:
        try:
            with acting(info, "run.cancel", run_id):
                Runs(loader_of(info).server.runtime.app).cancel(run_id)
        except RunNotFoundError as error:
            raise ApiError(404, str(error), code="not_found") from error
        except RunEndedError as error:
            raise ApiError(409, "cannot cancel an ended run", code=error.code) from error
        return FunctionRun(of=run_by_id(info, run_id))

    @strawberry.mutation
    def rerun(
        self,
        info: Info[Any, Any],
        run_id: Annotated[ULID, strawberry.argument(name="runID")],
        from_step: RerunFromStepInput | None = None,
        debug_session_id: Annotated[ULID | None, strawberry.argument(name="debugSessionID")] = None,
        debug_run_id: Annotated[ULID | None, strawberry.argument(name="debugRunID")] = None,
    ) -> ULID:
        step, given = (from_step.step_id, from_step.input) if from_step else (None, None)
        try:
            step_input = json.loads(given) if given else None
        except ValueError as error:
            raise ApiError(400, f"input is no JSON: {error}", code="body_invalid") from error
        if step_input is not None and not isinstance(step_input, list):
            raise ApiError(400, "input is a list: the arguments of the step", code="body_invalid")
        try:
            details = {"from_step": step, "edited": step_input is not None} if step else {}
            with acting(info, "run.rerun", run_id, details) as entry:
                runtime = loader_of(info).server.runtime
                new_id = rerun(runtime, run_id, from_step=step, step_input=step_input)
                entry.tell(run_id=new_id)
            return ULID(new_id)
        except (RunNotFoundError, RerunError) as error:
            raise ApiError(404, str(error), code=error.code) from error

    @strawberry.mutation
    def create_debug_session(self, input: CreateDebugSessionInput) -> CreateDebugSessionResponse:
        raise ApiError(501, "this server has no debugger; rerun a run from a step instead", code="not_implemented")


def _removed(info: Info[Any, Any], app_id: str) -> bool:
    with acting(info, "app.delete", app_id) as entry:
        removed = registration.remove(loader_of(info).server, app_id)
        entry.tell(removed=removed)
    return removed


def _synchronised(info: Info[Any, Any], url: str) -> App:
    """Have the app at an address register, and give it."""
    server = loader_of(info).server
    # Its query may hold a secret of the app.
    with acting(info, "app.sync", normalised(url).partition("?")[0]):
        syncing.sync(server, url)
    with server.runtime.database.autocommit() as connection:
        found: AppRow | None = app_rows.at(connection, normalised(url))
    if found is None:
        raise ApiError(
            400, f"{url} answered, but has not registered here: does it know this server?", code="unreachable"
        )
    info.context["loader"] = Loader(server)
    return App(row=found)
