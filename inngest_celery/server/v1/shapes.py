"""What REST v1 answers with."""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from inngest_celery import ids
from inngest_celery.server.state import Server
from inngest_celery.server.times import instant, instant_or_none
from inngest_celery.server.viewing import eyes_of
from inngest_celery.store import rows
from inngest_celery.store.events import extra_of
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import Run, RunStatus

T = TypeVar("T")

_NOBODY = "00000000-0000-0000-0000-000000000000"


class Metadata(BaseModel):
    fetched_at: str
    cached_until: None = None


class Envelope(BaseModel, Generic[T]):
    """An answer, and when it was true. Nothing is cached."""

    data: T
    metadata: Metadata


class EventShape(BaseModel):
    internal_id: str
    account_id: str = _NOBODY
    environment_id: str = ids.ENVIRONMENT
    source: str = ""
    source_id: str | None = None
    received_at: str
    id: str
    name: str
    data: dict[str, Any]
    user: dict[str, Any] | None = None
    ts: int
    v: str | None = None


class RunShape(BaseModel):
    run_id: str
    run_started_at: str
    function_id: str
    function_version: int
    environment_id: str = ids.ENVIRONMENT
    event_id: str
    batch_id: str | None = None
    original_run_id: str | None = None
    cron: str | None = None
    status: str
    ended_at: str | None = None
    output: Any = None


def enveloped(server: Server, data: T) -> Envelope[T]:
    return Envelope(data=data, metadata=Metadata(fetched_at=instant(server.runtime.clock.now())))


def event_shape(server: Server, event: rows.Event) -> EventShape:
    event = eyes_of(server).event(event)
    return EventShape(
        internal_id=event.id,
        received_at=instant(event.received_at),
        id=event.external_id,
        name=event.name,
        data=json.loads(event.data),
        ts=event.ts,
        **extra_of(event),
    )


def run_shape(server: Server, run: Run, function: FunctionRow | None) -> RunShape:
    """Give a run; its status and its output are of one moment."""
    run = eyes_of(server).run(run)
    return RunShape(
        run_id=run.id,
        run_started_at=instant(run.started_at or run.created_at),
        function_id=ids.function_uuid(run.function_id),
        function_version=function.version if function else 0,
        event_id=run.event_id,
        batch_id=run.id if run.batch else None,
        status=RunStatus(run.status).name.capitalize(),
        ended_at=instant_or_none(run.ended_at),
        output=None if run.output is None else json.loads(run.output),
    )
