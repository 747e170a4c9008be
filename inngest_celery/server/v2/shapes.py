"""What REST v2 answers with."""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from inngest_celery import ids
from inngest_celery.engine.spec import read_spec
from inngest_celery.server.state import Server
from inngest_celery.server.times import instant, instant_or_none
from inngest_celery.server.tracing import Span
from inngest_celery.store.apps import AppRow
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import Run, RunStatus

T = TypeVar("T")


class Shape(BaseModel):
    """In camel case on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Metadata(Shape):
    fetched_at: str
    cached_until: str | None = None


class Page(Shape):
    cursor: str | None
    has_more: bool
    limit: int


class Answer(Shape, Generic[T]):
    """One thing, and when it was true."""

    data: T
    metadata: Metadata


class Listed(Shape, Generic[T]):
    """A page of things."""

    data: list[T]
    metadata: Metadata
    page: Page


class Problem(Shape):
    code: str
    message: str


class Refusal(Shape):
    """Why a request was refused."""

    errors: list[Problem]


class FunctionReference(Shape):
    id: str
    slug: str
    name: str


class RunShape(Shape):
    id: str
    status: str
    function: FunctionReference
    app_id: str
    event_ids: list[str]
    is_batch: bool
    original_run_id: str | None
    queued_at: str
    started_at: str | None
    ended_at: str | None
    reason: str | None
    output: Any = None


class SpanShape(Shape):
    """One bar of a trace: the run, a step, or an attempt at one."""

    id: str
    name: str
    status: str
    step_op: str | None
    step_id: str | None
    attempts: int | None
    queued_at: str
    started_at: str | None
    ended_at: str | None
    due_at: str | None
    duration_ms: int | None
    waits_for: str | None
    children: list[SpanShape]


class AppShape(Shape):
    id: str
    name: str
    url: str | None
    method: str
    sdk: str
    framework: str | None
    version: str | None
    error: str | None
    function_count: int
    synced_at: str


class TriggerShape(Shape):
    event: str | None = None
    expression: str | None = None
    cron: str | None = None


class FunctionShape(Shape):
    id: str
    slug: str
    name: str
    app_id: str
    version: int
    triggers: list[TriggerShape]
    paused: str | None
    config: dict[str, Any]


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "The request is not understood."},
    401: {"model": Refusal, "description": "The signing key, token or session is missing or wrong."},
    403: {"model": Refusal, "description": "It is not enough for this, or a browser asks for another page."},
    404: {"model": Refusal, "description": "There is no such thing."},
    413: {"model": Refusal, "description": "The request is too large."},
    503: {"model": Refusal, "description": "The database does not answer."},
}


def metadata(server: Server) -> Metadata:
    return Metadata(fetched_at=instant(server.runtime.clock.now()))


def answered(server: Server, data: T) -> Answer[T]:
    return Answer(data=data, metadata=metadata(server))


def listed(server: Server, data: list[T], cursor: str | None, *, more: bool, limit: int) -> Listed[T]:
    return Listed(data=data, metadata=metadata(server), page=Page(cursor=cursor, has_more=more, limit=limit))


def function_shape(row: FunctionRow) -> FunctionShape:
    spec = read_spec(row.config)
    return FunctionShape(
        id=ids.function_uuid(row.id),
        slug=row.id,
        name=spec.name,
        app_id=ids.app_uuid(row.app_id),
        version=row.version,
        triggers=[
            *(TriggerShape(event=each.event, expression=each.expression) for each in spec.events),
            *(TriggerShape(cron=each.cron) for each in spec.crons),
        ],
        paused=row.paused,
        config=json.loads(row.config),
    )


def app_shape(row: AppRow, function_count: int) -> AppShape:
    return AppShape(
        id=ids.app_uuid(row.id),
        name=row.id,
        url=row.url or None,
        method=row.method,
        sdk=row.sdk,
        framework=row.framework,
        version=row.version,
        error=row.error,
        function_count=function_count,
        synced_at=instant(row.synced_at),
    )


def run_shape(run: Run, function: FunctionRow | None, event_ids: list[str], *, with_output: bool) -> RunShape:
    status = RunStatus(run.status)
    name = read_spec(function.config).name if function else run.function_id
    return RunShape(
        id=run.id,
        # Nobody has begun with it: that is what others call queued.
        status="QUEUED" if status is RunStatus.SCHEDULED else status.name,
        function=FunctionReference(id=ids.function_uuid(run.function_id), slug=run.function_id, name=name),
        app_id=ids.app_uuid(function.app_id if function else run.function_id),
        event_ids=event_ids,
        is_batch=bool(run.batch),
        original_run_id=run.original_run_id,
        queued_at=instant(run.created_at),
        started_at=instant_or_none(run.started_at),
        ended_at=instant_or_none(run.ended_at),
        reason=run.reason,
        output=json.loads(run.output) if with_output and run.output is not None else None,
    )


def span_shape(span: Span) -> SpanShape:
    return SpanShape(
        id=span.id,
        name=span.name,
        status=span.status,
        step_op=span.kind or None,
        step_id=span.step_id,
        attempts=None if span.attempt is None else span.attempt + 1,
        queued_at=instant(span.queued_at),
        started_at=instant_or_none(span.started_at),
        ended_at=instant_or_none(span.ended_at),
        due_at=instant_or_none(span.due_at),
        duration_ms=span.duration,
        waits_for=(span.wait.event_name or None) if span.wait else None,
        children=[span_shape(child) for child in span.children],
    )
