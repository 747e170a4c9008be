"""A run's trace: a tree of what happened, and of what it waits for."""

from __future__ import annotations

import base64
import binascii
import enum
import json
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.types import Info

from inngest_celery import ids
from inngest_celery.engine import prompts
from inngest_celery.opcodes import Opcode
from inngest_celery.server import tracing
from inngest_celery.server.errors import ApiError
from inngest_celery.server.graphql.apps import function_or_unknown, name_of, uuid_of_app
from inngest_celery.server.graphql.loading import loader_of
from inngest_celery.server.graphql.scalars import (
    ULID,
    UUID,
    Bytes,
    HTTPHeaders,
    SpanMetadataKind,
    SpanMetadataScope,
    SpanMetadataValues,
    Time,
    Unknown,
)
from inngest_celery.server.times import instant, instant_or_none
from inngest_celery.store.rows import Run, RunStatus

if TYPE_CHECKING:
    from inngest_celery.server.graphql.runs import FunctionRun


@strawberry.enum
class RunTraceSpanStatus(enum.Enum):
    FAILED = "FAILED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    WAITING = "WAITING"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"


@strawberry.enum
class StepOp(enum.Enum):
    INVOKE = "INVOKE"
    RUN = "RUN"
    SLEEP = "SLEEP"
    WAIT_FOR_EVENT = "WAIT_FOR_EVENT"
    AI_GATEWAY = "AI_GATEWAY"
    WAIT_FOR_SIGNAL = "WAIT_FOR_SIGNAL"


@strawberry.type
class InvokeStepInfo:
    triggering_event_id: ULID = strawberry.field(name="triggeringEventID")
    function_id: str = strawberry.field(name="functionID")
    timeout: Time
    return_event_id: ULID | None = strawberry.field(name="returnEventID")
    run_id: ULID | None = strawberry.field(name="runID")
    timed_out: bool | None


@strawberry.type
class SleepStepInfo:
    sleep_until: Time


@strawberry.type
class WaitForEventStepInfo:
    event_name: str
    expression: str | None
    timeout: Time
    found_event_id: ULID | None = strawberry.field(name="foundEventID")
    timed_out: bool | None


@strawberry.type
class WaitForSignalStepInfo:
    signal: str
    timeout: Time
    timed_out: bool | None


@strawberry.type
class RunStepInfo:
    type: str | None


StepInfo = Annotated[
    InvokeStepInfo | SleepStepInfo | WaitForEventStepInfo | WaitForSignalStepInfo | RunStepInfo,
    strawberry.union("StepInfo"),
]


@strawberry.type
class RunTraceSpanResponseInfo:
    status_code: int
    headers: HTTPHeaders


@strawberry.type
class SpanMetadata:
    scope: SpanMetadataScope
    kind: SpanMetadataKind
    values: SpanMetadataValues
    updated_at: Time


@strawberry.type
class UserlandSpan:
    span_name: str | None
    span_kind: str | None
    service_name: str | None
    resource_attrs: Bytes | None
    scope_name: str | None
    scope_version: str | None
    span_attrs: Bytes | None


@strawberry.type
class StepError:
    message: str
    name: str | None
    stack: str | None
    cause: Unknown | None


@strawberry.type
class RunTraceSpanOutput:
    input: Bytes | None
    data: Bytes | None
    error: StepError | None


@strawberry.type
class RunTraceSpan:
    """One bar of the trace: the run, a step, or an attempt at one."""

    of: strawberry.Private[Run]
    span_id: str = strawberry.field(name="spanID")
    name: str
    status: RunTraceSpanStatus
    queued_at: Time
    started_at: Time | None = None
    ended_at: Time | None = None
    scheduled_at: Time | None = None
    attempts: int | None = None
    duration: int | None = None
    output_id: str | None = strawberry.field(name="outputID", default=None)
    children_spans: list[RunTraceSpan] = strawberry.field(default_factory=list)
    step_op: StepOp | None = None
    step_id: str | None = strawberry.field(name="stepID", default=None)
    step_info: StepInfo | None = None
    step_type: str = ""
    is_root: bool = False
    parent_span_id: str | None = strawberry.field(name="parentSpanID", default=None)
    parent_span: RunTraceSpan | None = None
    group_id: str | None = strawberry.field(name="groupID", default=None)
    is_userland: bool = False
    userland_span: UserlandSpan | None = None
    debug_run_id: ULID | None = strawberry.field(name="debugRunID", default=None)
    debug_session_id: ULID | None = strawberry.field(name="debugSessionID", default=None)
    debug_paused: bool = False
    skip_reason: str | None = None
    skip_existing_run_id: str | None = strawberry.field(name="skipExistingRunID", default=None)
    metadata: list[SpanMetadata] = strawberry.field(default_factory=list)
    response: RunTraceSpanResponseInfo | None = None

    @strawberry.field(name="runID")
    def run_id(self) -> ULID:
        return ULID(self.of.id)

    @strawberry.field(name="functionID")
    def function_id(self) -> UUID:
        return UUID(ids.function_uuid(self.of.function_id))

    @strawberry.field(name="appID")
    def app_id(self, info: Info[Any, Any]) -> UUID:
        return uuid_of_app(info, self.of.function_id)

    @strawberry.field(name="traceID")
    def trace_id(self) -> str:
        return tracing.trace_id(self.of.id)

    @strawberry.field
    def run(self) -> Annotated[FunctionRun, strawberry.lazy("inngest_celery.server.graphql.runs")]:
        from inngest_celery.server.graphql.runs import FunctionRun

        return FunctionRun(of=self.of)


_OPS = {
    Opcode.INVOKE.value: StepOp.INVOKE,
    Opcode.SLEEP.value: StepOp.SLEEP,
    Opcode.WAIT_FOR_EVENT.value: StepOp.WAIT_FOR_EVENT,
    Opcode.WAIT_FOR_SIGNAL.value: StepOp.WAIT_FOR_SIGNAL,
    Opcode.AI_GATEWAY.value: StepOp.AI_GATEWAY,
}


def trace_of(info: Info[Any, Any], run: Run) -> RunTraceSpan:
    """Give the trace of a run."""
    name = name_of(function_or_unknown(info, run.function_id).row)
    root = _shown(run, tracing.trace_of(run, name, loader_of(info).details(run.id)), None)
    root.is_root = True
    if RunStatus(run.status) is RunStatus.SKIPPED:
        root.skip_reason = run.reason
    return root


def _shown(run: Run, span: tracing.Span, parent_id: str | None) -> RunTraceSpan:
    return RunTraceSpan(
        of=run,
        span_id=span.id,
        name=span.name,
        status=RunTraceSpanStatus[span.status],
        queued_at=Time(instant(span.queued_at)),
        started_at=_time(span.started_at),
        ended_at=_time(span.ended_at),
        scheduled_at=_time(span.due_at),
        duration=span.duration,
        attempts=None if span.attempt is None else span.attempt + 1,
        output_id=None if span.key is None else _output_id(run.id, *span.key),
        step_id=span.step_id,
        step_op=_OPS.get(span.kind, StepOp.RUN) if span.step_id else None,
        step_info=_info_of(span),
        step_type=span.kind,
        parent_span_id=parent_id,
        children_spans=[_shown(run, child, span.id) for child in span.children],
    )


def _info_of(span: tracing.Span) -> StepInfo | None:
    wait = span.wait
    if wait is None:
        return RunStepInfo(type=span.kind) if span.kind else None
    until = Time(instant(wait.until))
    if span.kind == Opcode.WAIT_FOR_EVENT.value:
        return WaitForEventStepInfo(
            event_name=wait.event_name,
            expression=wait.expression,
            timeout=until,
            found_event_id=ULID(wait.found_id) if wait.found_id else None,
            timed_out=wait.timed_out,
        )
    if span.kind == Opcode.WAIT_FOR_SIGNAL.value:
        return WaitForSignalStepInfo(signal=wait.event_name, timeout=until, timed_out=wait.timed_out)
    if span.kind == Opcode.INVOKE.value:
        return InvokeStepInfo(
            triggering_event_id=ULID(wait.invocation_id or ""),
            function_id="",
            timeout=until,
            return_event_id=None,
            run_id=None,
            timed_out=wait.timed_out,
        )
    if span.kind == Opcode.CELERY.value:
        return RunStepInfo(type=span.kind)
    return SleepStepInfo(sleep_until=until)


def output_of(info: Info[Any, Any], output_id: str) -> RunTraceSpanOutput:
    """Give what a span gave.

    Raises:
        ApiError: there is no such span.
    """
    try:
        run_id, key, attempt = json.loads(base64.urlsafe_b64decode(output_id))
    except (ValueError, binascii.Error):
        raise ApiError(400, "this is no outputID", code="invalid_id") from None
    loader = loader_of(info)
    run = loader.run(run_id)
    details = loader.details(run_id)
    if run is None:
        raise ApiError(404, f"There is no run {run_id}", code="not_found")
    if attempt:
        text = next((each.error for each in details.attempts if tracing.attempt_key(each) == attempt), "null")
        return RunTraceSpanOutput(input=_input(prompts.in_error(text)), data=None, error=_error(json.loads(text)))
    if not key:
        if RunStatus(run.status) is RunStatus.COMPLETED or run.output is None:
            return RunTraceSpanOutput(input=None, data=None if run.output is None else Bytes(run.output), error=None)
        return RunTraceSpanOutput(input=None, data=None, error=_error(json.loads(run.output)))
    step = next((step for step in details.steps if step.id == key), None)
    memo = json.loads(step.memo) if step else None
    given = _input(prompts.in_step(step.waited)) if step else None
    if isinstance(memo, dict) and set(memo) == {"error"}:
        return RunTraceSpanOutput(input=given, data=None, error=_error(memo["error"]))
    data = memo["data"] if isinstance(memo, dict) and set(memo) == {"data"} else memo
    return RunTraceSpanOutput(input=given, data=Bytes(json.dumps(data, ensure_ascii=False)), error=None)


def _input(asked: dict[str, Any] | None) -> Bytes | None:
    """Give what a model was asked, as what its step was given."""
    return None if asked is None or "body" not in asked else Bytes(json.dumps(asked["body"], ensure_ascii=False))


def _error(error: object) -> StepError:
    given = error if isinstance(error, dict) else {"message": str(error)}
    return StepError(
        message=str(given.get("message") or ""),
        name=given.get("name"),
        stack=given.get("stack"),
        cause=Unknown(given["cause"]) if given.get("cause") is not None else None,
    )


def _output_id(run_id: str, key: str, attempt: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([run_id, key, attempt]).encode()).decode()


def _time(milliseconds: int | None) -> Time | None:
    text = instant_or_none(milliseconds)
    return None if text is None else Time(text)
