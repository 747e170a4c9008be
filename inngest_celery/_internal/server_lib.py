"""What SDK and server say to each other."""

from __future__ import annotations

import enum

from inngest_celery.opcodes import Opcode
from inngest_celery.sdk.config import (
    Batch,
    Cancel,
    Concurrency,
    Debounce,
    FunctionConfig,
    Priority,
    RateLimit,
    Retries,
    Runtime,
    Singleton,
    Throttle,
    Timeouts,
    TriggerCron,
    TriggerEvent,
)
from inngest_celery.sdk.config import StepConfig as Step
from inngest_celery.sdk.errors import ErrorCode
from inngest_celery.sdk.event import Event
from inngest_celery.sdk.group import ParallelMode

PREFERRED_EXECUTION_VERSION = 2
ROOT_STEP_ID = "step"
UNSPECIFIED_STEP_ID = "step"


class DeployType(enum.Enum):
    PING = "ping"


class Framework(enum.Enum):
    CONNECT = "connect"
    DIGITAL_OCEAN = "digitalocean"
    DJANGO = "django"
    FAST_API = "fast_api"
    FLASK = "flask"
    TORNADO = "tornado"


class HeaderKey(enum.Enum):
    AUTHORIZATION = "authorization"
    CONTENT_TYPE = "content-type"
    ENV = "x-inngest-env"
    EVENT_ID_SEED = "x-inngest-event-id-seed"
    EXPECTED_SERVER_KIND = "x-inngest-expected-server-kind"
    FRAMEWORK = "x-inngest-framework"
    JOB_ID = "x-inngest-job-id"
    NO_RETRY = "x-inngest-no-retry"
    REQUEST_ID = "x-request-id"
    REQUEST_VERSION = "x-inngest-req-version"
    RETRY_AFTER = "retry-after"
    SDK = "x-inngest-sdk"
    SDK_HANDLED = "x-inngest-sdk-handled"
    SERVER_KIND = "x-inngest-server-kind"
    SERVER_TIMING = "server-timing"
    SIGNATURE = "x-inngest-signature"
    SYNC_KIND = "x-inngest-sync-kind"
    USER_AGENT = "user-agent"


class InternalEvents(enum.Enum):
    FUNCTION_FAILED = "inngest/function.failed"


class OptKey(enum.Enum):
    PARALLEL_MODE = "parallelMode"


class Probe(enum.Enum):
    TRUST = "trust"


class QueryParamKey(enum.Enum):
    FUNCTION_ID = "fnId"
    PROBE = "probe"
    STEP_ID = "stepId"
    SYNC_ID = "deployId"


class ServerKind(enum.Enum):
    CLOUD = "cloud"
    DEV_SERVER = "dev"


class SyncKind(enum.Enum):
    IN_BAND = "in_band"
    OUT_OF_BAND = "out_of_band"


__all__ = [
    "PREFERRED_EXECUTION_VERSION",
    "ROOT_STEP_ID",
    "UNSPECIFIED_STEP_ID",
    "Batch",
    "Cancel",
    "Concurrency",
    "Debounce",
    "DeployType",
    "ErrorCode",
    "Event",
    "Framework",
    "FunctionConfig",
    "HeaderKey",
    "InternalEvents",
    "Opcode",
    "OptKey",
    "ParallelMode",
    "Priority",
    "Probe",
    "QueryParamKey",
    "RateLimit",
    "Retries",
    "Runtime",
    "ServerKind",
    "Singleton",
    "Step",
    "SyncKind",
    "Throttle",
    "Timeouts",
    "TriggerCron",
    "TriggerEvent",
]
