"""Runs, events and steps for programs: JSON values, with times in ISO 8601 and UTC."""

from __future__ import annotations

import json
from typing import Any

from inngest_celery.cli.output import iso
from inngest_celery.engine import prompts
from inngest_celery.store.events import head_of
from inngest_celery.store.rows import Event, Run, RunStatus, Step
from inngest_celery.worker.runs import RunInfo


def run_shape(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "function_id": run.function_id,
        "event_id": run.event_id,
        "status": RunStatus(run.status).name.lower(),
        "created_at": iso(run.created_at),
        "started_at": iso(run.started_at),
        "ended_at": iso(run.ended_at),
        "output": read(run.output),
        "reason": run.reason,
        "original_run_id": run.original_run_id,
    }


def info_shape(run: RunInfo) -> dict[str, Any]:
    return {
        "id": run.id,
        "function_id": run.function_id,
        "event_id": run.event_id,
        "status": run.status.name.lower(),
        "created_at": iso(run.created_at),
        "started_at": iso(run.started_at),
        "ended_at": iso(run.ended_at),
        "output": run.output,
        "reason": run.reason,
    }


def event_shape(event: Event) -> dict[str, Any]:
    head = head_of(event)
    return {
        "id": event.id,
        "name": event.name,
        "external_id": event.external_id,
        "ts": iso(event.ts),
        "received_at": iso(event.received_at),
        "user": head["user"],
        "data": json.loads(event.data),
    }


def step_shape(step: Step) -> dict[str, Any]:
    return {
        "id": step.name,
        "hash": step.id,
        "op": step.op,
        "failed": step.failed,
        "attempts": step.attempt + 1,
        "queued_at": iso(step.queued_at),
        "started_at": iso(step.started_at),
        "ended_at": iso(step.ended_at),
        **({"asked": asked} if (asked := prompts.in_step(step.waited)) else {}),
        "result": read(step.memo),
        "worker": step.worker,
        "task_id": step.task_id,
    }


def read(text: str | None) -> object:
    return None if text is None else json.loads(text)
