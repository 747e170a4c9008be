"""Inngest's durable functions and steps, executed as ordinary Celery tasks and checkpointed in SQL.

Example::

    import inngest_celery as inngest

    client = inngest.Inngest(app_id="shop")

    @client.create_function(fn_id="remind", trigger=inngest.TriggerEvent(event="cart/left"))
    async def remind(ctx: inngest.Context) -> None:
        await ctx.step.sleep("a while", datetime.timedelta(hours=3))
        await ctx.step.run("mail", send_mail, ctx.event.data["user"])

The names of the official ``inngest`` package are here under the same names, with the same signatures.
"""

from inngest_celery.opcodes import Opcode
from inngest_celery.sdk.client import Inngest
from inngest_celery.sdk.config import (
    Batch,
    Budget,
    Cancel,
    Concurrency,
    ConcurrencyLevels,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
    TriggerCron,
    TriggerEvent,
)
from inngest_celery.sdk.context import Context, ContextSync
from inngest_celery.sdk.errors import (
    AsyncUnsupportedError,
    BodyInvalidError,
    CodedError,
    CostInvalidError,
    Error,
    ErrorCode,
    EventInvalidError,
    EventKeyUnspecifiedError,
    FunctionConfigInvalidError,
    FunctionNotFoundError,
    HeaderMissingError,
    NonRetriableError,
    OutputUnserializableError,
    QueryParamMissingError,
    RateLimitedError,
    RegistrationFailedError,
    RetryAfterError,
    RunSkippedError,
    SecretError,
    SendEventsError,
    SigningKeyMissingError,
    SigVerificationFailedError,
    StepError,
    StepIdCollisionError,
    StepInvalidError,
    StepNestedError,
    StepUnexpectedError,
    StubMissingError,
    SuspensionSwallowedError,
    TransactionMisusedError,
    UnknownError,
    URLInvalidError,
)
from inngest_celery.sdk.event import Event, SendEventsResult
from inngest_celery.sdk.function import Function
from inngest_celery.sdk.group import Group, GroupSync, ParallelMode
from inngest_celery.sdk.legacy import Legacy
from inngest_celery.sdk.memos import StepMemos
from inngest_celery.sdk.middleware import Middleware, MiddlewareSync, TransformOutputResult
from inngest_celery.sdk.secret import Secret
from inngest_celery.sdk.serializer import PydanticSerializer, Serializer
from inngest_celery.sdk.step import Step, StepSync
from inngest_celery.sdk.types import JSON, Streaming

__all__ = [
    "JSON",
    "AsyncUnsupportedError",
    "Batch",
    "BodyInvalidError",
    "Budget",
    "Cancel",
    "CodedError",
    "Concurrency",
    "ConcurrencyLevels",
    "Context",
    "ContextSync",
    "CostInvalidError",
    "Debounce",
    "Error",
    "ErrorCode",
    "Event",
    "EventInvalidError",
    "EventKeyUnspecifiedError",
    "Function",
    "FunctionConfigInvalidError",
    "FunctionNotFoundError",
    "Group",
    "GroupSync",
    "HeaderMissingError",
    "Inngest",
    "Legacy",
    "Middleware",
    "MiddlewareSync",
    "NonRetriableError",
    "Opcode",
    "OutputUnserializableError",
    "ParallelMode",
    "Priority",
    "PydanticSerializer",
    "QueryParamMissingError",
    "RateLimit",
    "RateLimitedError",
    "RegistrationFailedError",
    "RetryAfterError",
    "RunSkippedError",
    "Secret",
    "SecretError",
    "SendEventsError",
    "SendEventsResult",
    "Serializer",
    "SigVerificationFailedError",
    "SigningKeyMissingError",
    "Singleton",
    "Step",
    "StepError",
    "StepIdCollisionError",
    "StepInvalidError",
    "StepMemos",
    "StepNestedError",
    "StepSync",
    "StepUnexpectedError",
    "Streaming",
    "StubMissingError",
    "SuspensionSwallowedError",
    "Throttle",
    "Timeouts",
    "TransactionMisusedError",
    "TransformOutputResult",
    "TriggerCron",
    "TriggerEvent",
    "URLInvalidError",
    "UnknownError",
]
