"""Workers of apps that dial in."""

from __future__ import annotations

import enum
import hashlib
from functools import partial
from typing import Any

import strawberry
from strawberry.types import Info

from inngest_celery import ids
from inngest_celery.drivers.connect.presence import Connection, ServedApp
from inngest_celery.server.graphql.apps import App
from inngest_celery.server.graphql.connections import PageInfo, bounded, page_info
from inngest_celery.server.graphql.loading import loader_of
from inngest_celery.server.graphql.scalars import ULID, UUID, Int64, Time
from inngest_celery.server.paging import read_cursor, write_cursor
from inngest_celery.server.times import instant, instant_or_none, read_instant


@strawberry.enum
class ConnectV1ConnectionStatus(enum.Enum):
    CONNECTED = "CONNECTED"
    READY = "READY"
    DRAINING = "DRAINING"
    DISCONNECTING = "DISCONNECTING"
    DISCONNECTED = "DISCONNECTED"


@strawberry.enum
class ConnectV1WorkerConnectionsOrderByField(enum.Enum):
    CONNECTED_AT = "CONNECTED_AT"
    LAST_HEARTBEAT_AT = "LAST_HEARTBEAT_AT"
    DISCONNECTED_AT = "DISCONNECTED_AT"


@strawberry.enum
class ConnectV1WorkerConnectionsOrderByDirection(enum.Enum):
    ASC = "ASC"
    DESC = "DESC"


@strawberry.input
class ConnectV1WorkerConnectionsOrderBy:
    field: ConnectV1WorkerConnectionsOrderByField
    direction: ConnectV1WorkerConnectionsOrderByDirection


@strawberry.input
class ConnectV1WorkerConnectionsFilter:
    from_: Time | None = strawberry.field(name="from", default=None)
    until: Time | None = None
    time_field: ConnectV1WorkerConnectionsOrderByField | None = ConnectV1WorkerConnectionsOrderByField.CONNECTED_AT
    status: list[ConnectV1ConnectionStatus] | None = None
    app_ids: list[UUID] | None = strawberry.field(name="appIDs", default=None)


@strawberry.type
class ConnectV1WorkerConnection:
    id: ULID
    gateway_id: ULID
    instance_id: str
    worker_ip: str
    max_worker_concurrency: Int64
    app_name: str
    app_id: UUID | None = strawberry.field(name="appID")
    app: App | None
    connected_at: Time
    last_heartbeat_at: Time | None
    disconnected_at: Time | None
    disconnect_reason: str | None
    status: ConnectV1ConnectionStatus
    group_hash: str
    sdk_lang: str
    sdk_version: str
    sdk_platform: str
    sync_id: UUID | None
    build_id: str | None = strawberry.field(deprecation_reason="Use appVersion.")
    app_version: str | None
    function_count: int
    cpu_cores: int
    # More than an Int of GraphQL holds.
    mem_bytes: Int64
    os: str


@strawberry.type
class ConnectV1WorkerConnectionEdge:
    node: ConnectV1WorkerConnection
    cursor: str


@strawberry.type
class ConnectV1WorkerConnectionsConnection:
    edges: list[ConnectV1WorkerConnectionEdge]
    page_info: PageInfo
    total_count: int


def workers_page(
    info: Info[Any, Any],
    given: ConnectV1WorkerConnectionsFilter,
    order_by: list[ConnectV1WorkerConnectionsOrderBy],
    first: int,
    after: str | None,
) -> ConnectV1WorkerConnectionsConnection:
    """Give connections, one node for each app that one serves.

    There are hundreds, all of them in Redis: they are read whole for each page.

    Raises:
        ApiError: the page is too large, a time is none, or the cursor is none of ours.
    """
    bounded(first)
    found = [each for each in _all(info) if _fits(given, each)]
    for order in reversed(order_by or [_NEWEST_FIRST]):
        descending = order.direction is ConnectV1WorkerConnectionsOrderByDirection.DESC
        found.sort(key=partial(_position, order.field), reverse=descending)
    cursors = [write_cursor(connection.id, app.id) for connection, app in found]
    begin = 0
    if after:
        last = write_cursor(*read_cursor(after, str, str))
        begin = cursors.index(last) + 1 if last in cursors else len(found)
    edges = [
        ConnectV1WorkerConnectionEdge(node=_node(info, *each), cursor=cursor)
        for each, cursor in list(zip(found, cursors, strict=True))[begin : begin + first]
    ]
    return ConnectV1WorkerConnectionsConnection(
        edges=edges,
        page_info=page_info([edge.cursor for edge in edges], more=len(found) > begin + first, after=after),
        total_count=len(found),
    )


def worker_by_id(info: Info[Any, Any], connection_id: str) -> ConnectV1WorkerConnection | None:
    return next((_node(info, *each) for each in _all(info) if each[0].id == connection_id), None)


_NEWEST_FIRST = ConnectV1WorkerConnectionsOrderBy(
    field=ConnectV1WorkerConnectionsOrderByField.CONNECTED_AT, direction=ConnectV1WorkerConnectionsOrderByDirection.DESC
)


def _all(info: Info[Any, Any]) -> list[tuple[Connection, ServedApp]]:
    loader = loader_of(info)
    if loader.server.runtime.redis_url is None:
        return []
    found = loader.server.runtime.channel.presence.all(loader.now)
    return [(connection, app) for connection in found for app in connection.apps]


def _fits(given: ConnectV1WorkerConnectionsFilter, each: tuple[Connection, ServedApp]) -> bool:
    connection, app = each
    since, until = read_instant(given.from_, "from"), read_instant(given.until, "until")
    at = _time(given.time_field or ConnectV1WorkerConnectionsOrderByField.CONNECTED_AT, connection)
    if (since is not None and (at is None or at < since)) or (until is not None and (at is None or at >= until)):
        return False
    if given.status is not None and connection.status.value not in {status.value for status in given.status}:
        return False
    return given.app_ids is None or ids.app_uuid(app.id) in given.app_ids


def _time(field: ConnectV1WorkerConnectionsOrderByField, connection: Connection) -> int | None:
    if field is ConnectV1WorkerConnectionsOrderByField.CONNECTED_AT:
        return connection.connected_at
    if field is ConnectV1WorkerConnectionsOrderByField.DISCONNECTED_AT:
        return connection.ended_at
    return connection.heard_at


def _position(field: ConnectV1WorkerConnectionsOrderByField, each: tuple[Connection, ServedApp]) -> tuple[int, str]:
    return _time(field, each[0]) or 0, each[0].id


def _node(info: Info[Any, Any], of: Connection, app: ServedApp) -> ConnectV1WorkerConnection:
    row = loader_of(info).apps.get(app.id)
    return ConnectV1WorkerConnection(
        id=ULID(of.id),
        gateway_id=ULID(of.gateway_id),
        instance_id=of.instance_id,
        worker_ip=of.address,
        max_worker_concurrency=Int64(of.most),
        app_name=app.id,
        app_id=UUID(ids.app_uuid(app.id)),
        app=App(row=row) if row is not None else None,
        connected_at=Time(instant(of.connected_at)),
        last_heartbeat_at=Time(instant(of.heard_at)),
        disconnected_at=_as_time(of.ended_at),
        disconnect_reason=of.reason,
        status=ConnectV1ConnectionStatus(of.status.value),
        group_hash=hashlib.sha256(f"{app.id}\0{app.version or ''}\0{of.sdk}\0{of.sdk_version}".encode()).hexdigest(),
        sdk_lang=of.sdk,
        sdk_version=of.sdk_version,
        sdk_platform=of.platform,
        sync_id=None,
        build_id=app.version,
        app_version=app.version,
        function_count=app.functions,
        cpu_cores=of.cpu_cores,
        mem_bytes=Int64(of.mem_bytes),
        os=of.os,
    )


def _as_time(at: int | None) -> Time | None:
    text = instant_or_none(at)
    return None if text is None else Time(text)
