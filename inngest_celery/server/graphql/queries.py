"""What can be asked."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry
from strawberry.types import Info

from inngest_celery.server.graphql.apps import App, AppMethod, Function, app_by_uuid, functions_of, method_of
from inngest_celery.server.graphql.events import (
    Event,
    EventQuery,
    EventsConnection,
    EventsFilter,
    EventsQuery,
    EventV2,
    StreamItem,
    StreamQuery,
    event_by_id,
    events_page,
    stream,
)
from inngest_celery.server.graphql.loading import loader_of
from inngest_celery.server.graphql.runs import (
    FunctionRun,
    FunctionRunQuery,
    FunctionRunV2,
    RunsFilterV2,
    RunsV2Connection,
    RunsV2OrderBy,
    RunTraceTrigger,
    run_by_id,
    runs_page,
    trigger_of,
)
from inngest_celery.server.graphql.scalars import ULID, UUID
from inngest_celery.server.graphql.traces import RunTraceSpan, RunTraceSpanOutput, output_of, trace_of
from inngest_celery.server.graphql.workers import (
    ConnectV1WorkerConnection,
    ConnectV1WorkerConnectionsConnection,
    ConnectV1WorkerConnectionsFilter,
    ConnectV1WorkerConnectionsOrderBy,
    worker_by_id,
    workers_page,
)


@strawberry.input
class AppsFilterV1:
    method: AppMethod | None = None


@strawberry.input
class FunctionQuery:
    workspace_id: strawberry.ID = strawberry.ID("local")
    function_slug: str


_OLDER_EVENTS = 100
_RunID = Annotated[str, strawberry.argument(name="runID")]


@strawberry.type
class Query:
    @strawberry.field
    def apps(self, info: Info[Any, Any], filter: AppsFilterV1 | None = None) -> list[App]:
        found = [App(row=row) for row in sorted(loader_of(info).apps.values(), key=lambda row: row.id)]
        wanted = filter.method if filter else None
        return [app for app in found if wanted is None or method_of(app.row) is wanted]

    @strawberry.field
    def app(self, info: Info[Any, Any], id: UUID) -> App | None:
        return app_by_uuid(info, id)

    @strawberry.field
    def stream(self, info: Info[Any, Any], query: StreamQuery) -> list[StreamItem]:
        return stream(info, query)

    @strawberry.field
    def event(self, info: Info[Any, Any], query: EventQuery) -> Event | None:
        found = loader_of(info).event(query.event_id)
        return Event(of=found) if found else None

    @strawberry.field
    def events(self, info: Info[Any, Any], query: EventsQuery) -> list[Event]:
        given = StreamQuery(before=query.last_event_id, limit=_OLDER_EVENTS)
        return [Event(of=item.of) for item in stream(info, given)]

    @strawberry.field
    def event_v2(self, info: Info[Any, Any], id: ULID) -> EventV2:
        return EventV2(of=event_by_id(info, id))

    @strawberry.field
    def events_v2(
        self, info: Info[Any, Any], filter: EventsFilter, first: int = 40, after: str | None = None
    ) -> EventsConnection:
        return events_page(info, first, after, filter)

    @strawberry.field
    def function_by_slug(self, info: Info[Any, Any], query: FunctionQuery) -> Function | None:
        row = loader_of(info).functions.get(query.function_slug)
        return Function(row=row) if row is not None else None

    @strawberry.field
    def functions(self, info: Info[Any, Any]) -> list[Function] | None:
        return functions_of(info)

    @strawberry.field
    def function_run(self, info: Info[Any, Any], query: FunctionRunQuery) -> FunctionRun | None:
        run = loader_of(info).run(query.function_run_id)
        return FunctionRun(of=run) if run is not None else None

    @strawberry.field
    def runs(
        self,
        info: Info[Any, Any],
        order_by: list[RunsV2OrderBy],
        filter: RunsFilterV2,
        first: int = 100,
        after: str | None = None,
        preview: bool | None = None,
    ) -> RunsV2Connection:
        return runs_page(info, first, after, order_by, filter)

    @strawberry.field
    def run(self, info: Info[Any, Any], run_id: _RunID) -> FunctionRunV2 | None:
        run = loader_of(info).run(run_id)
        return FunctionRunV2(of=run) if run is not None else None

    @strawberry.field(name="runTraceSpanOutputByID")
    def run_trace_span_output_by_id(
        self, info: Info[Any, Any], output_id: Annotated[str, strawberry.argument(name="outputID")]
    ) -> RunTraceSpanOutput:
        return output_of(info, output_id)

    @strawberry.field
    def run_trigger(self, info: Info[Any, Any], run_id: _RunID) -> RunTraceTrigger:
        return trigger_of(info, run_by_id(info, run_id))

    @strawberry.field
    def run_trace(self, info: Info[Any, Any], run_id: _RunID) -> RunTraceSpan:
        return trace_of(info, run_by_id(info, run_id))

    @strawberry.field
    def worker_connections(
        self,
        info: Info[Any, Any],
        order_by: list[ConnectV1WorkerConnectionsOrderBy],
        filter: ConnectV1WorkerConnectionsFilter,
        first: int = 100,
        after: str | None = None,
    ) -> ConnectV1WorkerConnectionsConnection:
        return workers_page(info, filter, order_by, first, after)

    @strawberry.field
    def worker_connection(self, info: Info[Any, Any], connection_id: ULID) -> ConnectV1WorkerConnection | None:
        return worker_by_id(info, connection_id)
