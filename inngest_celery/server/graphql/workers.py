"""Workers of apps that dial in."""

from __future__ import annotations

import enum

import strawberry

from inngest_celery.server.graphql.apps import App
from inngest_celery.server.graphql.connections import PageInfo, page_info
from inngest_celery.server.graphql.scalars import ULID, UUID, Int64, Time


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
    app_name: str | None
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
    mem_bytes: int
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


def none_connected() -> ConnectV1WorkerConnectionsConnection:
    """Give no workers: apps cannot dial in yet."""
    return ConnectV1WorkerConnectionsConnection(
        edges=[], page_info=page_info([], more=False, after=None), total_count=0
    )
