"""Events, as the older and the newer queries show them."""

from __future__ import annotations

import enum
from typing import Any

import strawberry
from strawberry.types import Info

from inngest_celery import ids
from inngest_celery.engine.searching import searched, variables_of
from inngest_celery.server.errors import ApiError
from inngest_celery.server.graphql.connections import PageInfo, bounded, page_info
from inngest_celery.server.graphql.loading import loader_of
from inngest_celery.server.graphql.runs import FunctionRun, FunctionRunStatus, FunctionRunV2, Workspace, status_of
from inngest_celery.server.graphql.scalars import ULID, UUID, Time
from inngest_celery.server.paging import read_cursor, write_cursor
from inngest_celery.server.runs import checked
from inngest_celery.server.searching import condition
from inngest_celery.server.times import instant, read_instant
from inngest_celery.store import events, runs
from inngest_celery.store.rows import Event as Row
from inngest_celery.store.rows import Run


@strawberry.enum
class EventStatus(enum.Enum):
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    PAUSED = "PAUSED"
    FAILED = "FAILED"
    PARTIALLY_FAILED = "PARTIALLY_FAILED"
    NO_FUNCTIONS = "NO_FUNCTIONS"


@strawberry.enum
class StreamType(enum.Enum):
    EVENT = "EVENT"
    CRON = "CRON"


@strawberry.input
class EventQuery:
    workspace_id: strawberry.ID = strawberry.ID("local")
    event_id: strawberry.ID


@strawberry.input
class EventsQuery:
    workspace_id: strawberry.ID = strawberry.ID("local")
    last_event_id: strawberry.ID | None = None


@strawberry.input
class StreamQuery:
    after: strawberry.ID | None = None
    before: strawberry.ID | None = None
    limit: int = 20
    include_internal_events: bool | None = None


@strawberry.input
class EventsFilter:
    event_names: list[str] | None = None
    from_: Time = strawberry.field(name="from")
    include_internal_events: bool = False
    query: str | None = None
    until: Time | None = None


@strawberry.type
class EventSource:
    id: strawberry.ID
    name: str | None
    source_kind: str


def _runs_of(info: Info[Any, Any], event: Row) -> list[Run]:
    loader = loader_of(info)
    with loader.server.runtime.database.autocommit() as connection:
        found = loader.seen(runs.of_event(connection, event.id))
    loader.together(found)
    return found


@strawberry.type
class Event:
    """An event, for the older queries."""

    of: strawberry.Private[Row]

    @strawberry.field
    def id(self) -> ULID:
        return ULID(self.of.id)

    @strawberry.field(name="externalID")
    def external_id(self) -> str | None:
        return self.of.external_id

    @strawberry.field
    def workspace(self) -> Workspace | None:
        return Workspace()

    @strawberry.field
    def name(self) -> str | None:
        return self.of.name

    @strawberry.field
    def created_at(self) -> Time | None:
        return Time(instant(self.of.received_at))

    @strawberry.field
    def payload(self) -> str | None:
        return self.of.data

    @strawberry.field
    def schema(self) -> str | None:
        return None

    @strawberry.field
    def status(self, info: Info[Any, Any]) -> EventStatus | None:
        found = {status_of(run) for run in _runs_of(info, self.of)}
        if not found:
            return EventStatus.NO_FUNCTIONS
        if found & {FunctionRunStatus.RUNNING, FunctionRunStatus.QUEUED}:
            return EventStatus.RUNNING
        failed = found & {FunctionRunStatus.FAILED, FunctionRunStatus.CANCELLED}
        if not failed:
            return EventStatus.COMPLETED
        return EventStatus.FAILED if found == failed else EventStatus.PARTIALLY_FAILED

    @strawberry.field
    def pending_runs(self, info: Info[Any, Any]) -> int | None:
        pending = (FunctionRunStatus.RUNNING, FunctionRunStatus.QUEUED)
        return sum(status_of(run) in pending for run in _runs_of(info, self.of))

    @strawberry.field
    def total_runs(self, info: Info[Any, Any]) -> int | None:
        return len(_runs_of(info, self.of))

    @strawberry.field
    def raw(self) -> str | None:
        return events.as_json(self.of)

    @strawberry.field
    def function_runs(self, info: Info[Any, Any]) -> list[FunctionRun] | None:
        return [FunctionRun(of=run) for run in _runs_of(info, self.of)]


@strawberry.type
class EventV2:
    """An event."""

    of: strawberry.Private[Row]

    @strawberry.field(name="envID")
    def env_id(self) -> UUID:
        return UUID(ids.ENVIRONMENT)

    @strawberry.field
    def id(self) -> ULID:
        return ULID(self.of.id)

    @strawberry.field
    def idempotency_key(self) -> str | None:
        return self.of.external_id if self.of.external_id != self.of.id else None

    @strawberry.field
    def name(self) -> str:
        return self.of.name

    @strawberry.field
    def occurred_at(self) -> Time:
        return Time(instant(self.of.ts))

    @strawberry.field
    def raw(self) -> str:
        return events.as_json(self.of)

    @strawberry.field
    def received_at(self) -> Time:
        return Time(instant(self.of.received_at))

    @strawberry.field
    def runs(self, info: Info[Any, Any]) -> list[FunctionRunV2]:
        return [FunctionRunV2(of=run) for run in _runs_of(info, self.of)]

    @strawberry.field
    def source(self) -> EventSource | None:
        return None

    @strawberry.field
    def version(self) -> str | None:
        return str(events.head_of(self.of).get("v") or "") or None


@strawberry.type
class EventsEdge:
    node: EventV2
    cursor: str


@strawberry.type
class EventsConnection:
    total: strawberry.Private[EventsFilter]
    edges: list[EventsEdge]
    page_info: PageInfo

    @strawberry.field
    def total_count(self, info: Info[Any, Any]) -> int:
        given = self.total
        with loader_of(info).server.runtime.database.autocommit() as connection:
            return events.count(
                connection,
                names=given.event_names,
                since=read_instant(given.from_, "from"),
                until=read_instant(given.until, "until"),
                internal=given.include_internal_events,
            )


@strawberry.type
class StreamItem:
    of: strawberry.Private[Row]

    @strawberry.field
    def id(self) -> strawberry.ID:
        return strawberry.ID(self.of.id)

    @strawberry.field
    def trigger(self) -> str:
        return self.of.name

    @strawberry.field
    def type(self) -> StreamType:
        return StreamType.CRON if self.of.name == "inngest/scheduled.timer" else StreamType.EVENT

    @strawberry.field
    def created_at(self) -> Time:
        return Time(instant(self.of.received_at))

    @strawberry.field
    def runs(self, info: Info[Any, Any]) -> list[FunctionRun | None] | None:
        return [FunctionRun(of=run) for run in _runs_of(info, self.of)]

    @strawberry.field
    def in_batch(self, info: Info[Any, Any]) -> bool:
        return any(run.batch for run in _runs_of(info, self.of))


def events_page(info: Info[Any, Any], first: int, after: str | None, given: EventsFilter) -> EventsConnection:
    """Give a page of events, the newest first."""
    loader, first = loader_of(info), bounded(first)
    since, until = read_instant(given.from_, "from"), read_instant(given.until, "until")
    begin = str(read_cursor(after, str)[0]) if after else None
    holds = condition(given.query)

    def read(last: Row | None, limit: int) -> list[Row]:
        with loader.server.runtime.database.autocommit() as connection:
            found = events.page(
                connection,
                limit=limit,
                before=last.id if last is not None else begin,
                names=given.event_names,
                since=since,
                until=until,
                internal=given.include_internal_events,
            )
        # Before anything is looked for: what they may not see, they may not find either.
        return [loader.eyes.event(event) for event in found]

    if holds is None:
        found = read(None, first + 1)
    else:
        found = list(searched(read, lambda event: holds(variables_of(None, event)), first + 1))
    edges = [EventsEdge(node=EventV2(of=event), cursor=write_cursor(event.id)) for event in found[:first]]
    cursors = [edge.cursor for edge in edges]
    return EventsConnection(
        total=given, edges=edges, page_info=page_info(cursors, more=len(found) > first, after=after)
    )


def event_by_id(info: Info[Any, Any], event_id: str) -> Row:
    """Give an event.

    Raises:
        ApiError: there is none.
    """
    event = loader_of(info).event(event_id)
    if event is None:
        raise ApiError(404, f"There is no event {event_id}", code="not_found")
    return event


def stream(info: Info[Any, Any], given: StreamQuery) -> list[StreamItem]:
    """Give the newest events, or those before one.

    Raises:
        ApiError: what they are to be before, or after, is no event's id.
    """
    before, after = (checked(each) if each else None for each in (given.before, given.after))
    loader = loader_of(info)
    with loader.server.runtime.database.autocommit() as connection:
        found = events.page(
            connection,
            limit=bounded(given.limit),
            before=before,
            internal=bool(given.include_internal_events),
        )
    return [StreamItem(of=loader.eyes.event(event)) for event in found if after is None or event.id > after]
