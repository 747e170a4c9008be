"""Apps and functions."""

from __future__ import annotations

import enum
import json
from typing import Any

import strawberry
from strawberry.types import Info

from inngest_celery import ids
from inngest_celery.engine.spec import read_spec
from inngest_celery.server.graphql.loading import config_of, loader_of
from inngest_celery.server.graphql.scalars import UUID
from inngest_celery.store import apps as app_rows
from inngest_celery.store.apps import AppRow
from inngest_celery.store.functions import FunctionRow

# What a function may execute at a time where it sets no limit.
_DEFAULT_CONCURRENCY = 1000


@strawberry.enum
class AppMethod(enum.Enum):
    SERVE = "SERVE"
    CONNECT = "CONNECT"
    API = "API"


@strawberry.enum
class FunctionTriggerTypes(enum.Enum):
    EVENT = "EVENT"
    CRON = "CRON"


@strawberry.enum
class ConcurrencyScope(enum.Enum):
    ACCOUNT = "ACCOUNT"
    ENVIRONMENT = "ENVIRONMENT"
    FUNCTION = "FUNCTION"


@strawberry.enum
class SingletonMode(enum.Enum):
    SKIP = "SKIP"
    CANCEL = "CANCEL"


@strawberry.type
class SDKFeatureStatus:
    ready: bool
    reason: int | None = None


@strawberry.type
class SDKFeatureReadiness:
    ai_metadata_extraction: SDKFeatureStatus | None = strawberry.field(name="aiMetadataExtraction", default=None)
    extended_traces: SDKFeatureStatus | None = None


@strawberry.type
class FunctionTrigger:
    type: FunctionTriggerTypes
    value: str
    condition: str | None


@strawberry.type
class CancellationConfiguration:
    event: str
    timeout: str | None
    condition: str | None


@strawberry.type
class RetryConfiguration:
    value: int
    is_default: bool | None


@strawberry.type
class EventsBatchConfiguration:
    max_size: int
    timeout: str
    key: str | None


@strawberry.type
class ConcurrencyLimitConfiguration:
    value: int
    is_plan_limit: bool | None = False


@strawberry.type
class ConcurrencyConfiguration:
    scope: ConcurrencyScope
    limit: ConcurrencyLimitConfiguration
    key: str | None


@strawberry.type
class RateLimitConfiguration:
    limit: int
    period: str
    key: str | None


@strawberry.type
class DebounceConfiguration:
    period: str
    key: str | None


@strawberry.type
class ThrottleConfiguration:
    burst: int
    key: str | None
    limit: int
    period: str


@strawberry.type
class SingletonConfiguration:
    mode: SingletonMode
    key: str | None


@strawberry.type
class FunctionConfiguration:
    """A function's configuration, as it was registered."""

    cancellations: list[CancellationConfiguration]
    retries: RetryConfiguration
    priority: str | None
    events_batch: EventsBatchConfiguration | None
    concurrency: list[ConcurrencyConfiguration]
    rate_limit: RateLimitConfiguration | None
    debounce: DebounceConfiguration | None
    throttle: ThrottleConfiguration | None
    singleton: SingletonConfiguration | None


_SCOPES = {"fn": ConcurrencyScope.FUNCTION, "env": ConcurrencyScope.ENVIRONMENT, "account": ConcurrencyScope.ACCOUNT}


def _configuration(row: FunctionRow) -> FunctionConfiguration:
    config, spec = config_of(row), read_spec(row.config)
    batch, rate, throttle = config.get("batchEvents"), config.get("rateLimit"), config.get("throttle")
    debounce, singleton = config.get("debounce"), config.get("singleton")
    step: dict[str, Any] = next(iter((config.get("steps") or {}).values()), {})
    given = (step.get("retries") or {}).get("attempts", config.get("retries"))
    return FunctionConfiguration(
        cancellations=[
            CancellationConfiguration(event=each["event"], timeout=each.get("timeout"), condition=each.get("if"))
            for each in config.get("cancel") or []
        ],
        retries=RetryConfiguration(value=spec.retries, is_default=given is None),
        priority=spec.priority,
        events_batch=batch
        and EventsBatchConfiguration(max_size=batch["maxSize"], timeout=batch["timeout"], key=batch.get("key")),
        concurrency=[
            ConcurrencyConfiguration(
                scope=_SCOPES[each.scope], limit=ConcurrencyLimitConfiguration(value=each.limit), key=each.key
            )
            for each in spec.concurrency
        ],
        rate_limit=rate and RateLimitConfiguration(limit=rate["limit"], period=rate["period"], key=rate.get("key")),
        debounce=debounce and DebounceConfiguration(period=debounce["period"], key=debounce.get("key")),
        throttle=throttle
        and ThrottleConfiguration(
            burst=throttle.get("burst") or 0,
            key=throttle.get("key"),
            limit=throttle["limit"],
            period=throttle["period"],
        ),
        singleton=singleton
        and SingletonConfiguration(
            mode=SingletonMode[str(singleton.get("mode") or "skip").upper()], key=singleton.get("key")
        ),
    )


@strawberry.type
class Function:
    row: strawberry.Private[FunctionRow]

    @strawberry.field
    def id(self) -> str:
        return ids.function_uuid(self.row.id)

    @strawberry.field
    def name(self) -> str:
        return name_of(self.row)

    @strawberry.field
    def slug(self) -> str:
        return self.row.id

    @strawberry.field
    def failure_handler(self, info: Info[Any, Any]) -> Function | None:
        handler = loader_of(info).functions.get(f"{self.row.id}-failure")
        return Function(row=handler) if handler is not None else None

    @strawberry.field
    def config(self) -> str:
        return self.row.config

    @strawberry.field
    def configuration(self) -> FunctionConfiguration:
        return _configuration(self.row)

    @strawberry.field
    def concurrency(self) -> int:
        limits = [each.limit for each in read_spec(self.row.config).concurrency if each.key is None]
        return min(limits, default=_DEFAULT_CONCURRENCY)

    @strawberry.field
    def triggers(self) -> list[FunctionTrigger] | None:
        spec = read_spec(self.row.config)
        events = [FunctionTrigger(type=FunctionTriggerTypes.EVENT, value=each.event, condition=each.expression)
                  for each in spec.events]  # fmt: skip
        crons = [FunctionTrigger(type=FunctionTriggerTypes.CRON, value=each.cron, condition=None)
                 for each in spec.crons]  # fmt: skip
        return [*events, *crons]

    @strawberry.field
    def url(self) -> str:
        return read_spec(self.row.config).url or ""

    @strawberry.field(name="appID")
    def app_id(self) -> str:
        return ids.app_uuid(self.row.app_id)

    @strawberry.field
    def app(self, info: Info[Any, Any]) -> App:
        return App(row=loader_of(info).apps[self.row.app_id])


@strawberry.type
class App:
    row: strawberry.Private[AppRow]

    @strawberry.field
    def id(self) -> strawberry.ID:
        return strawberry.ID(ids.app_uuid(self.row.id))

    @strawberry.field(name="externalID")
    def external_id(self) -> str:
        return self.row.id

    @strawberry.field
    def name(self) -> str:
        return self.row.id

    @strawberry.field
    def sdk_language(self) -> str:
        return self.row.sdk.removeprefix("inngest-").partition(":")[0]

    @strawberry.field
    def sdk_version(self) -> str:
        return self.row.sdk.partition(":")[2].removeprefix("v")

    @strawberry.field
    def framework(self) -> str | None:
        return self.row.framework

    @strawberry.field
    def url(self) -> str | None:
        return self.row.url or None

    @strawberry.field
    def checksum(self) -> str | None:
        return self.row.checksum or None

    @strawberry.field
    def error(self) -> str | None:
        return self.row.error

    @strawberry.field
    def functions(self, info: Info[Any, Any]) -> list[Function]:
        return functions_of(info, self.row.id)

    @strawberry.field
    def method(self) -> AppMethod:
        return method_of(self.row)

    @strawberry.field
    def app_version(self) -> str | None:
        return self.row.version

    @strawberry.field
    def sdk_feature_readiness(self) -> SDKFeatureReadiness:
        return SDKFeatureReadiness()

    @strawberry.field
    def connected(self) -> bool:
        return self.row.error is None

    @strawberry.field
    def function_count(self, info: Info[Any, Any]) -> int:
        return len(functions_of(info, self.row.id))

    @strawberry.field
    def autodiscovered(self) -> bool:
        return self.row.discovered


def name_of(row: FunctionRow) -> str:
    return str(config_of(row).get("name") or row.id)


def method_of(row: AppRow) -> AppMethod:
    return AppMethod[row.method.upper()]


def functions_of(info: Info[Any, Any], app_id: str | None = None) -> list[Function]:
    """Give the functions that start runs, of one app or of all."""
    rows = sorted(loader_of(info).functions.values(), key=lambda row: row.id)
    return [
        Function(row=row)
        for row in rows
        if row.archived_at is None and app_id in (None, row.app_id) and not read_spec(row.config).is_task
    ]


def app_by_uuid(info: Info[Any, Any], uuid: str) -> App | None:
    return next((App(row=row) for row in loader_of(info).apps.values() if ids.app_uuid(row.id) == uuid), None)


def function_or_unknown(info: Info[Any, Any], function_id: str) -> Function:
    """Give a function; of one that is not stored any more, what is known of it."""
    row = loader_of(info).functions.get(function_id)
    if row is None:
        config = json.dumps({"id": function_id, "triggers": []})
        row = FunctionRow(function_id, function_id, config, "", 0, "", "", 0, 0)
        loader_of(info).apps.setdefault(function_id, AppRow(function_id, "", app_rows.SERVE, "", "", 0, 0))
    return Function(row=row)


def uuid_of_app(info: Info[Any, Any], function_id: str) -> UUID:
    return UUID(ids.app_uuid(function_or_unknown(info, function_id).row.app_id))
