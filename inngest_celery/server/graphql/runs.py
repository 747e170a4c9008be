"""Runs, as the older and the newer queries show them."""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.types import Info

from inngest_celery import ids
from inngest_celery.engine.searching import searched, variables_of
from inngest_celery.server import tracing
from inngest_celery.server.errors import ApiError
from inngest_celery.server.graphql.apps import App, Function, function_or_unknown, uuid_of_app
from inngest_celery.server.graphql.connections import PageInfo, bounded, page_info
from inngest_celery.server.graphql.loading import loader_of
from inngest_celery.server.graphql.scalars import ULID, UUID, Bytes, Time
from inngest_celery.server.graphql.traces import RunTraceSpan, trace_of
from inngest_celery.server.paging import read_position, write_cursor
from inngest_celery.server.searching import condition
from inngest_celery.server.times import instant, instant_or_none, read_instant
from inngest_celery.store import listing
from inngest_celery.store.listing import Order, RunFilter, RunTime
from inngest_celery.store.rows import JobKind, Run, RunStatus

if TYPE_CHECKING:
    from inngest_celery.server.graphql.events import Event


@strawberry.enum
class FunctionRunStatus(enum.Enum):
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    RUNNING = "RUNNING"
    QUEUED = "QUEUED"
    SKIPPED = "SKIPPED"


@strawberry.enum
class RunDeferStatus(enum.Enum):
    SCHEDULED = "SCHEDULED"
    ABORTED = "ABORTED"
    REJECTED = "REJECTED"


@strawberry.enum
class RunsV2OrderByField(enum.Enum):
    QUEUED_AT = "QUEUED_AT"
    STARTED_AT = "STARTED_AT"
    ENDED_AT = "ENDED_AT"


@strawberry.enum
class RunsOrderByDirection(enum.Enum):
    ASC = "ASC"
    DESC = "DESC"


@strawberry.input
class RunsV2OrderBy:
    field: RunsV2OrderByField
    direction: RunsOrderByDirection


@strawberry.input
class RunsFilterV2:
    from_: Time = strawberry.field(name="from")
    until: Time | None = None
    time_field: RunsV2OrderByField | None = RunsV2OrderByField.QUEUED_AT
    status: list[FunctionRunStatus] | None = None
    function_ids: list[UUID] | None = strawberry.field(name="functionIDs", default=None)
    app_ids: list[UUID] | None = strawberry.field(name="appIDs", default=None)
    is_deferred: bool | None = None
    query: str | None = None


@strawberry.input
class FunctionRunQuery:
    workspace_id: strawberry.ID = strawberry.ID("local")
    function_run_id: strawberry.ID


@strawberry.type
class Workspace:
    id: strawberry.ID = strawberry.ID("local")


@strawberry.type
class StepEventWait:
    event_name: str | None
    expression: str | None
    expiry_time: Time


@strawberry.type
class RunDefer:
    hashed_defer_id: str = strawberry.field(name="hashedDeferID")
    userland_defer_id: str = strawberry.field(name="userlandDeferID")
    fn_slug: str
    status: RunDeferStatus
    function: Function | None
    run_id: ULID | None = strawberry.field(name="runID")
    run: FunctionRunV2 | None


@strawberry.type
class RunDeferredFrom:
    run_id: ULID = strawberry.field(name="runID")
    function: Function
    run: FunctionRunV2 | None


@strawberry.type
class RunTraceTrigger:
    event_name: str | None
    ids: list[ULID] = strawberry.field(name="IDs")
    payloads: list[Bytes]
    timestamp: Time
    is_batch: bool
    batch_id: ULID | None = strawberry.field(name="batchID")
    cron: str | None


def status_of(run: Run) -> FunctionRunStatus:
    status = RunStatus(run.status)
    return FunctionRunStatus.QUEUED if status is RunStatus.SCHEDULED else FunctionRunStatus[status.name]


_STATUSES: dict[FunctionRunStatus, RunStatus] = {
    FunctionRunStatus.QUEUED: RunStatus.SCHEDULED,
    **{each: RunStatus[each.name] for each in FunctionRunStatus if each is not FunctionRunStatus.QUEUED},
}


@strawberry.type
class FunctionRun:
    """A run, for the older queries."""

    of: strawberry.Private[Run]

    @strawberry.field
    def id(self) -> strawberry.ID:
        return strawberry.ID(self.of.id)

    @strawberry.field(name="functionID")
    def function_id(self) -> str:
        return ids.function_uuid(self.of.function_id)

    @strawberry.field
    def function(self, info: Info[Any, Any]) -> Function | None:
        return function_or_unknown(info, self.of.function_id)

    @strawberry.field
    def workspace(self) -> Workspace | None:
        return Workspace()

    @strawberry.field
    def event(
        self, info: Info[Any, Any]
    ) -> Annotated[Event, strawberry.lazy("inngest_celery.server.graphql.events")] | None:
        from inngest_celery.server.graphql.events import Event

        found = loader_of(info).event(self.of.event_id)
        return Event(of=found) if found else None

    @strawberry.field
    def events(
        self, info: Info[Any, Any]
    ) -> list[Annotated[Event, strawberry.lazy("inngest_celery.server.graphql.events")]]:
        from inngest_celery.server.graphql.events import Event

        loader = loader_of(info)
        wanted = loader.event_ids(self.of)
        found = [loader.event(event_id, wanted) for event_id in wanted]
        return [Event(of=each) for each in found if each is not None]

    @strawberry.field(name="batchID")
    def batch_id(self) -> ULID | None:
        return ULID(self.of.id) if self.of.batch else None

    @strawberry.field
    def batch_created_at(self) -> Time | None:
        return Time(instant(self.of.created_at)) if self.of.batch else None

    @strawberry.field
    def status(self) -> FunctionRunStatus | None:
        return status_of(self.of)

    @strawberry.field
    def waiting_for(self, info: Info[Any, Any]) -> StepEventWait | None:
        details = loader_of(info).details(self.of.id)
        for job in details.jobs:
            wait = details.waits.get(job.key)
            if job.kind is JobKind.TIMEOUT and wait is not None and wait.event_name:
                until = Time(instant(wait.expires_at))
                return StepEventWait(event_name=wait.event_name, expression=wait.expression, expiry_time=until)
        return None

    @strawberry.field(deprecation_reason="Nothing counts them; see the trace.")
    def pending_steps(self) -> int | None:
        return None

    @strawberry.field
    def started_at(self) -> Time | None:
        return Time(instant(self.of.started_at or self.of.created_at))

    @strawberry.field
    def finished_at(self) -> Time | None:
        text = instant_or_none(self.of.ended_at)
        return Time(text) if text else None

    @strawberry.field
    def output(self) -> str | None:
        return self.of.output

    @strawberry.field(name="eventID")
    def event_id(self) -> strawberry.ID:
        return strawberry.ID(self.of.event_id)

    @strawberry.field
    def cron(self, info: Info[Any, Any]) -> str | None:
        return _cron(info, self.of)


@strawberry.type
class FunctionRunV2:
    """A run."""

    of: strawberry.Private[Run]

    @strawberry.field
    def id(self) -> ULID:
        return ULID(self.of.id)

    @strawberry.field(name="appID")
    def app_id(self, info: Info[Any, Any]) -> UUID:
        return uuid_of_app(info, self.of.function_id)

    @strawberry.field
    def app(self, info: Info[Any, Any]) -> App:
        function = function_or_unknown(info, self.of.function_id)
        return App(row=loader_of(info).apps[function.row.app_id])

    @strawberry.field(name="functionID")
    def function_id(self) -> UUID:
        return UUID(ids.function_uuid(self.of.function_id))

    @strawberry.field
    def function(self, info: Info[Any, Any]) -> Function:
        return function_or_unknown(info, self.of.function_id)

    @strawberry.field(name="traceID")
    def trace_id(self) -> str:
        return tracing.trace_id(self.of.id)

    @strawberry.field
    def queued_at(self) -> Time:
        return Time(instant(self.of.created_at))

    @strawberry.field
    def started_at(self) -> Time | None:
        text = instant_or_none(self.of.started_at)
        return Time(text) if text else None

    @strawberry.field
    def ended_at(self) -> Time | None:
        text = instant_or_none(self.of.ended_at)
        return Time(text) if text else None

    @strawberry.field
    def status(self) -> FunctionRunStatus:
        return status_of(self.of)

    @strawberry.field(name="sourceID")
    def source_id(self) -> str | None:
        return None

    @strawberry.field(name="triggerIDs")
    def trigger_ids(self, info: Info[Any, Any]) -> list[ULID]:
        return [ULID(each) for each in loader_of(info).event_ids(self.of)]

    @strawberry.field
    def event_name(self, info: Info[Any, Any]) -> str | None:
        event = loader_of(info).event(self.of.event_id)
        return event.name if event else None

    @strawberry.field
    def is_batch(self) -> bool:
        return bool(self.of.batch)

    @strawberry.field
    def batch_created_at(self) -> Time | None:
        return Time(instant(self.of.created_at)) if self.of.batch else None

    @strawberry.field
    def cron_schedule(self, info: Info[Any, Any]) -> str | None:
        return _cron(info, self.of)

    @strawberry.field
    def output(self) -> Bytes | None:
        return None if self.of.output is None else Bytes(self.of.output)

    @strawberry.field
    def trace(self, info: Info[Any, Any], preview: bool | None = None) -> RunTraceSpan | None:
        return trace_of(info, self.of)

    @strawberry.field(name="hasAI")
    def has_ai(self, info: Info[Any, Any]) -> bool:
        return any(step.op == "AIGateway" for step in loader_of(info).details(self.of.id).steps)

    @strawberry.field
    def defers(self) -> list[RunDefer]:
        return []

    @strawberry.field
    def sibling_defers(self) -> list[RunDefer]:
        return []

    @strawberry.field
    def deferred_from(self) -> list[RunDeferredFrom]:
        return []

    @strawberry.field
    def is_deferred(self) -> bool:
        return False


@strawberry.type
class FunctionRunV2Edge:
    node: FunctionRunV2
    cursor: str


@strawberry.type
class RunsV2Connection:
    wanted: strawberry.Private[RunFilter]
    edges: list[FunctionRunV2Edge]
    page_info: PageInfo

    @strawberry.field
    def total_count(self, info: Info[Any, Any], preview: bool | None = None) -> int:
        with loader_of(info).server.runtime.database.autocommit() as connection:
            return listing.count(connection, self.wanted)


def runs_page(
    info: Info[Any, Any], first: int, after: str | None, order_by: list[RunsV2OrderBy], given: RunsFilterV2
) -> RunsV2Connection:
    """Give a page of runs."""
    loader, first = loader_of(info), bounded(first)
    wanted, order = _filter(info, given), _order(order_by, after)
    holds = condition(given.query)

    def read(last: Run | None, limit: int) -> list[Run]:
        behind = order if last is None else Order(order.field, order.descending, listing.position(last, order.field))
        with loader.server.runtime.database.autocommit() as connection:
            found = listing.page(connection, wanted, behind, limit)
        if holds is not None:
            event_ids = [run.event_id for run in found]
            for event_id in event_ids[:1]:
                loader.event(event_id, event_ids)
        # Before anything is looked for: what they may not see, they may not find either.
        return loader.seen(found)

    if holds is None:
        found = read(None, first + 1)
    else:
        found = list(searched(read, lambda run: holds(variables_of(run, loader.event(run.event_id))), first + 1))
    shown = found[:first]
    loader.together(shown)
    edges = [
        FunctionRunV2Edge(node=FunctionRunV2(of=run), cursor=write_cursor(*listing.position(run, order.field)))
        for run in shown
    ]
    cursors = [edge.cursor for edge in edges]
    return RunsV2Connection(
        wanted=wanted, edges=edges, page_info=page_info(cursors, more=len(found) > first, after=after)
    )


def run_by_id(info: Info[Any, Any], run_id: str) -> Run:
    """Give a run.

    Raises:
        ApiError: there is none.
    """
    run = loader_of(info).run(run_id)
    if run is None:
        raise ApiError(404, f"There is no run {run_id}", code="not_found")
    return run


def trigger_of(info: Info[Any, Any], run: Run) -> RunTraceTrigger:
    """Give what started a run."""
    from inngest_celery.store.events import as_json

    loader = loader_of(info)
    wanted = loader.event_ids(run)
    found = [event for event_id in wanted if (event := loader.event(event_id, wanted)) is not None]
    return RunTraceTrigger(
        event_name=found[0].name if found else None,
        ids=[ULID(event.id) for event in found],
        payloads=[Bytes(as_json(event)) for event in found],
        timestamp=Time(instant(found[0].ts if found else run.created_at)),
        is_batch=bool(run.batch),
        batch_id=ULID(run.id) if run.batch else None,
        cron=_cron(info, run),
    )


def _cron(info: Info[Any, Any], run: Run) -> str | None:
    event = loader_of(info).event(run.event_id)
    if event is None or event.name != "inngest/scheduled.timer":
        return None
    return str(json.loads(event.data).get("cron") or "") or None


def _filter(info: Info[Any, Any], given: RunsFilterV2) -> RunFilter:
    loader = loader_of(info)
    function_ids: set[str] | None = None
    if given.function_ids is not None:
        function_ids = {loader.function_ids.get(uuid, uuid) for uuid in given.function_ids}
    if given.app_ids is not None:
        of_apps = {row.id for row in loader.functions.values() if ids.app_uuid(row.app_id) in given.app_ids}
        function_ids = of_apps if function_ids is None else function_ids & of_apps
    field = given.time_field or RunsV2OrderByField.QUEUED_AT
    return RunFilter(
        since=read_instant(given.from_, "from"),
        until=read_instant(given.until, "until"),
        field=RunTime[field.name],
        statuses=[_STATUSES[status] for status in given.status or []],
        function_ids=function_ids,
    )


def _order(order_by: list[RunsV2OrderBy], after: str | None) -> Order:
    chosen = (
        order_by[0]
        if order_by
        else RunsV2OrderBy(field=RunsV2OrderByField.QUEUED_AT, direction=RunsOrderByDirection.DESC)
    )
    return Order(RunTime[chosen.field.name], chosen.direction is RunsOrderByDirection.DESC, read_position(after))
