"""All functions: what starts them, whether they are paused, and what they have done in the last day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from inngest_celery import ids
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.server.dashboard.charts import Column, sparkline
from inngest_celery.server.dashboard.lately import Count, Lately, lately
from inngest_celery.server.rendering import page
from inngest_celery.server.state import Serving
from inngest_celery.store import functions, statistics
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import RunStatus

router = APIRouter()


@dataclass(frozen=True, slots=True)
class FunctionShown:
    """One line of the list.

    Attributes:
        last_run: the id of the newest run, and when it was queued.
        columns: of a small chart of the day, by hour.
    """

    row: FunctionRow
    spec: FunctionSpec
    last_run: tuple[str, int] | None
    hour: Count
    day: Count
    columns: list[Column]


@router.get("/functions")
def list_functions(request: Request, server: Serving, q: str = "", archived: bool = False) -> Response:
    """Show functions, by id."""
    now = server.runtime.clock.now()
    with server.runtime.database.autocommit() as connection:
        every = sorted(functions.all_of(connection), key=lambda row: row.id)
        rows = [row for row in every if (archived or row.archived_at is None) and q.lower() in row.id.lower()]
        done = lately(connection, [row.id for row in rows], now)
        last_runs = statistics.last_runs(connection)
    return page(
        request,
        "functions.html",
        shown=[_shown(row, last_runs.get(row.id), done[row.id]) for row in rows],
        q=q,
        archived=archived,
        hidden=sum(row.archived_at is not None for row in every) if not archived else 0,
        known=bool(every),
    )


def _shown(row: FunctionRow, last_run: str | None, done: Lately) -> FunctionShown:
    return FunctionShown(
        row=row,
        spec=read_spec(row.config),
        last_run=(last_run, ids.time_of(last_run)) if last_run else None,
        hour=done.hour,
        day=done.day,
        columns=sparkline(list(_stacks(done))),
    )


def _stacks(done: Lately) -> Iterator[list[tuple[str, float]]]:
    for hour in done.by_hour:
        failed = hour[RunStatus.FAILED]
        yield [("failed", failed), ("completed", sum(hour.values()) - failed)]
