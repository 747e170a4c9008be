"""A run's trace: a tree of what happened, and of what it waits for."""

from __future__ import annotations

import base64
import binascii
import enum
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry.types import Info

from inngest_celery import ids
from inngest_celery.opcodes import Opcode
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
from inngest_celery.store.details import Details
from inngest_celery.store.rows import Attempt, Job, JobKind, Run, RunStatus, Step

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
        return trace_id(self.of.id)

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
_RUN_STATUS = {
    RunStatus.SCHEDULED: RunTraceSpanStatus.QUEUED,
    RunStatus.RUNNING: RunTraceSpanStatus.RUNNING,
    RunStatus.COMPLETED: RunTraceSpanStatus.COMPLETED,
    RunStatus.FAILED: RunTraceSpanStatus.FAILED,
    RunStatus.CANCELLED: RunTraceSpanStatus.CANCELLED,
    RunStatus.SKIPPED: RunTraceSpanStatus.SKIPPED,
}
_OPEN = (JobKind.STEP, JobKind.SLEEP, JobKind.TIMEOUT)


def trace_of(info: Info[Any, Any], run: Run) -> RunTraceSpan:
    """Give the trace of a run."""
    details = loader_of(info).details(run.id)
    status = RunStatus(run.status)
    root = RunTraceSpan(
        of=run,
        span_id=_span_id(run.id),
        name=name_of(function_or_unknown(info, run.function_id).row),
        status=_RUN_STATUS[status],
        queued_at=Time(instant(run.created_at)),
        started_at=_time(run.started_at),
        ended_at=_time(run.ended_at),
        duration=None if run.ended_at is None else run.ended_at - (run.started_at or run.created_at),
        output_id=_output_id(run.id, "") if run.output is not None else None,
        is_root=True,
        skip_reason=run.reason if status is RunStatus.SKIPPED else None,
    )
    root.children_spans = [*_done(run, details), *_open(run, details), *_failed_calls(run, details)]
    for child in root.children_spans:
        child.parent_span_id = root.span_id
    return root


def _done(run: Run, details: Details) -> Iterable[RunTraceSpan]:
    for step in details.steps:
        tried = [attempt for attempt in details.attempts if attempt.step_id == step.id]
        status = RunTraceSpanStatus.FAILED if step.failed else RunTraceSpanStatus.COMPLETED
        yield RunTraceSpan(
            of=run,
            span_id=_span_id(run.id, step.id),
            name=step.name,
            status=status,
            queued_at=Time(instant(step.queued_at)),
            started_at=_time(step.started_at),
            ended_at=_time(step.ended_at),
            duration=step.ended_at - step.started_at,
            attempts=step.attempt + 1,
            output_id=_output_id(run.id, step.id),
            step_id=step.id,
            step_op=_OPS.get(step.op, StepOp.RUN),
            step_info=_info_of(step),
            step_type=step.op,
            children_spans=_attempts(run, step.id, tried),
        )


def _open(run: Run, details: Details) -> Iterable[RunTraceSpan]:
    """Give what has been planned and is not done."""
    for job in details.jobs:
        if job.kind not in _OPEN:
            continue
        wait = details.waits.get(job.key)
        op = json.loads(job.opts or "{}").get("op") or ("Sleep" if job.kind is JobKind.SLEEP else "StepRun")
        tried = [attempt for attempt in details.attempts if attempt.step_id == job.key]
        waits = job.kind is not JobKind.STEP
        running = job.leased_by is not None
        busy = RunTraceSpanStatus.RUNNING if running else RunTraceSpanStatus.QUEUED
        yield RunTraceSpan(
            of=run,
            span_id=_span_id(run.id, job.key),
            name=job.name,
            status=RunTraceSpanStatus.WAITING if waits else busy,
            queued_at=Time(instant(job.created_at)),
            scheduled_at=_time(job.due_at),
            started_at=_time(job.created_at) if waits or running else None,
            attempts=job.attempt + 1,
            step_id=job.key,
            step_op=_OPS.get(op, StepOp.RUN),
            step_info=_info_of_open(run, job, op, wait.event_name if wait else "", wait.expression if wait else None),
            step_type=op,
            children_spans=_attempts(run, job.key, tried),
        )


def _failed_calls(run: Run, details: Details) -> Iterable[RunTraceSpan]:
    """Give the attempts at the function's own code that have failed."""
    return _attempts(run, "", [attempt for attempt in details.attempts if not attempt.step_id])


def _attempts(run: Run, key: str, tried: Iterable[Attempt]) -> list[RunTraceSpan]:
    return [
        RunTraceSpan(
            of=run,
            span_id=_span_id(run.id, key, str(attempt.fence), str(attempt.attempt)),
            name=f"Attempt {attempt.attempt}",
            status=RunTraceSpanStatus.FAILED,
            queued_at=Time(instant(attempt.started_at)),
            started_at=_time(attempt.started_at),
            ended_at=_time(attempt.ended_at),
            duration=attempt.ended_at - attempt.started_at,
            attempts=attempt.attempt + 1,
            output_id=_output_id(run.id, key, f"{attempt.job_key}.{attempt.fence}"),
            step_id=key or None,
            step_op=StepOp.RUN if key else None,
            parent_span_id=_span_id(run.id, key) if key else None,
        )
        for attempt in tried
    ]


def _info_of(step: Step) -> StepInfo:
    memo = json.loads(step.memo)
    end = Time(instant(step.ended_at))
    if step.op == Opcode.SLEEP.value:
        return SleepStepInfo(sleep_until=end)
    if step.op == Opcode.WAIT_FOR_EVENT.value:
        found = memo if isinstance(memo, dict) else {}
        event_id = found.get("id")
        return WaitForEventStepInfo(
            event_name=str(found.get("name") or ""),
            expression=None,
            timeout=end,
            found_event_id=ULID(event_id) if event_id else None,
            timed_out=memo is None,
        )
    if step.op == Opcode.WAIT_FOR_SIGNAL.value:
        data = memo.get("data") if isinstance(memo, dict) else None
        signal = str(data.get("signal")) if isinstance(data, dict) else ""
        return WaitForSignalStepInfo(signal=signal, timeout=end, timed_out=memo is None)
    if step.op == Opcode.INVOKE.value:
        error = memo.get("error") if isinstance(memo, dict) else None
        timed_out = isinstance(error, dict) and error.get("name") == "InngestInvokeTimeoutError"
        return InvokeStepInfo(
            triggering_event_id=ULID(_invocation(step.run_id, step.id)),
            function_id="",
            timeout=end,
            return_event_id=None,
            run_id=None,
            timed_out=timed_out,
        )
    return RunStepInfo(type=step.op)


def _info_of_open(run: Run, job: Job, op: str, event_name: str, expression: str | None) -> StepInfo:
    until = Time(instant(job.due_at))
    if op == Opcode.SLEEP.value:
        return SleepStepInfo(sleep_until=until)
    if op == Opcode.WAIT_FOR_EVENT.value:
        return WaitForEventStepInfo(
            event_name=event_name, expression=expression, timeout=until, found_event_id=None, timed_out=None
        )
    if op == Opcode.WAIT_FOR_SIGNAL.value:
        return WaitForSignalStepInfo(signal=event_name.partition(":")[2], timeout=until, timed_out=None)
    if op == Opcode.INVOKE.value:
        return InvokeStepInfo(
            triggering_event_id=ULID(_invocation(run.id, job.key)),
            function_id="",
            timeout=until,
            return_event_id=None,
            run_id=None,
            timed_out=None,
        )
    return RunStepInfo(type=op)


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
        text = next((each.error for each in details.attempts if f"{each.job_key}.{each.fence}" == attempt), "null")
        return RunTraceSpanOutput(input=None, data=None, error=_error(json.loads(text)))
    if not key:
        if RunStatus(run.status) is RunStatus.COMPLETED or run.output is None:
            return RunTraceSpanOutput(input=None, data=None if run.output is None else Bytes(run.output), error=None)
        return RunTraceSpanOutput(input=None, data=None, error=_error(json.loads(run.output)))
    memo = next((json.loads(step.memo) for step in details.steps if step.id == key), None)
    if isinstance(memo, dict) and set(memo) == {"error"}:
        return RunTraceSpanOutput(input=None, data=None, error=_error(memo["error"]))
    data = memo["data"] if isinstance(memo, dict) and set(memo) == {"data"} else memo
    return RunTraceSpanOutput(input=None, data=Bytes(json.dumps(data, ensure_ascii=False)), error=None)


def _error(error: object) -> StepError:
    given = error if isinstance(error, dict) else {"message": str(error)}
    return StepError(
        message=str(given.get("message") or ""),
        name=given.get("name"),
        stack=given.get("stack"),
        cause=Unknown(given["cause"]) if given.get("cause") is not None else None,
    )


def trace_id(run_id: str) -> str:
    return ids.entropy_of(run_id).hex().ljust(32, "0")


def _span_id(*parts: str) -> str:
    return ids.entropy_of(*parts).hex()[:16]


def _output_id(run_id: str, key: str, attempt: str = "") -> str:
    return base64.urlsafe_b64encode(json.dumps([run_id, key, attempt]).encode()).decode()


def _invocation(run_id: str, key: str) -> str:
    """Give the id of the event that an invoke step sends: it is made of the step."""
    return ids.derived(ids.time_of(run_id), run_id, key, "inngest/function.invoked")


def _time(milliseconds: int | None) -> Time | None:
    text = instant_or_none(milliseconds)
    return None if text is None else Time(text)
