"""Runs as tools tell of them: short, with what a model asks next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from inngest_celery.server.state import Server
from inngest_celery.server.times import instant, instant_or_none
from inngest_celery.server.viewing import eyes_of
from inngest_celery.store import listing
from inngest_celery.store.listing import Order, RunFilter
from inngest_celery.store.rows import Run, RunStatus
from inngest_celery.worker.runs import RunInfo, seen

_NAMES = {RunStatus.SCHEDULED: "QUEUED"}


def name_of(status: int) -> str:
    """Give a status as REST v2 names it."""
    known = RunStatus(status)
    return _NAMES.get(known, known.name)


def of_info(server: Server, run: RunInfo) -> dict[str, Any]:
    return _shape(run, seen(eyes_of(server), run).output)


def of_row(server: Server, run: Run) -> dict[str, Any]:
    run = eyes_of(server).run(run)
    return _shape(run, None if run.output is None else json.loads(run.output))


def of_ids(server: Server, run_ids: Sequence[str]) -> dict[str, Run]:
    """Read runs, in one statement."""
    with server.runtime.database.autocommit() as connection:
        return {run.id: run for run in listing.page(connection, RunFilter(ids=run_ids), Order(), len(run_ids))}


def _shape(run: Run | RunInfo, output: object) -> dict[str, Any]:
    completed = run.status == RunStatus.COMPLETED
    return {
        "runId": run.id,
        "functionId": run.function_id,
        "eventId": run.event_id,
        "status": name_of(run.status),
        "ended": RunStatus(run.status).ended,
        "queuedAt": instant(run.created_at),
        "startedAt": instant_or_none(run.started_at),
        "endedAt": instant_or_none(run.ended_at),
        "output": output if completed else None,
        "error": None if completed else output,
        "reason": run.reason,
    }
