"""Events that are collected, or put off, and the job that keeps them: what tests of batches and debounces share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.jobs import Claimed
from inngest_celery.store.rows import JobKind
from tests.functions.bench import Bench


def pending(bench: Bench, kind: JobKind) -> list[Any]:
    """Give the jobs that keep events."""
    return bench.rows(schema.job, kind=kind.value)


def sent(bench: Bench, number: int) -> str:
    """Send an event and do nothing about it yet; give its id."""
    bench.inline  # noqa: B018  makes the tables and registers the functions
    [event_id] = bench.client.send_sync(inngest.Event(name="test/go", data={"number": number}))
    return event_id


def due(bench: Bench, kind: JobKind) -> Claimed:
    """Let the time of the only such job come, and take it as a worker does."""
    bench.inline.clock.advance(60_000)
    [job] = pending(bench, kind)
    claimed = bench.claim(job.subject_id, job.key)
    assert claimed is not None
    return claimed


def lock(bench: Bench, kind: JobKind) -> sa.Executable:
    """Give the statement that locks the only such job."""
    [job] = pending(bench, kind)
    table = schema.job
    return sa.select(table).where(table.c.subject_id == job.subject_id, table.c.key == job.key).with_for_update()
