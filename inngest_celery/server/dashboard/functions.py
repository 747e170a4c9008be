"""All functions: what starts them, whether they are paused, and what they have done in the last day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from starlette.responses import Response

from inngest_celery import ids
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.server.dashboard.charts import Column, sparkline
from inngest_celery.server.dashboard.rendering import page, status_name
from inngest_celery.server.state import Serving
from inngest_celery.store import functions, statistics
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import RunStatus
from inngest_celery.store.statistics import Tally

router = APIRouter()

_PART_MS = 3_600_000
_PARTS = 24
# So many runs of a function are counted, and no more of all together: what this page reads of runs is 30,000 rows, 50
# of each function where there are very many, however many are stored. Five million make no difference to it.
_MOST_OF_ONE = 2_000
_MOST_OF_ALL = 30_000
_LEAST_OF_ONE = 50


@dataclass(slots=True)
class Count:
    """The runs of a time.

    Attributes:
        more: whether there are more than were counted.
    """

    runs: int = 0
    more: bool = False
    by_status: Counter[int] = field(default_factory=Counter)

    @property
    def failure_rate(self) -> float | None:
        """The share of those that have run to an end of their own; ``None`` if none has."""
        ended = self.by_status[RunStatus.COMPLETED] + self.by_status[RunStatus.FAILED]
        return self.by_status[RunStatus.FAILED] / ended if ended else None

    @property
    def in_words(self) -> str:
        return ", ".join(f"{count:,} {status_name(status).lower()}" for status, count in sorted(self.by_status.items()))


@dataclass(frozen=True, slots=True)
class FunctionShown:
    """One line of the list.

    Attributes:
        last_run: the id of the newest run, and when it was queued.
        counted_since: when the oldest run that was counted was queued, if there are more.
    """

    row: FunctionRow
    spec: FunctionSpec
    last_run: tuple[str, int] | None
    hour: Count
    day: Count
    counted_since: int | None
    columns: list[Column]


@router.get("/functions")
def list_functions(request: Request, server: Serving, q: str = "", archived: bool = False) -> Response:
    """Show functions, by id."""
    now = server.runtime.clock.now()
    with server.runtime.database.autocommit() as connection:
        every = sorted(functions.all_of(connection), key=lambda row: row.id)
        rows = [row for row in every if (archived or row.archived_at is None) and q.lower() in row.id.lower()]
        most = max(min(_MOST_OF_ONE, _MOST_OF_ALL // max(len(rows), 1)), _LEAST_OF_ONE)
        since = now - _PARTS * _PART_MS
        tallies = statistics.tallies(connection, [row.id for row in rows], since, _PART_MS, most)
        last_runs = statistics.last_runs(connection)
    of_function: dict[str, list[Tally]] = {}
    for tally in tallies:
        of_function.setdefault(tally.function_id, []).append(tally)
    return page(
        request,
        "functions.html",
        shown=[_shown(row, last_runs.get(row.id), of_function.get(row.id, []), most, now) for row in rows],
        q=q,
        archived=archived,
        hidden=sum(row.archived_at is not None for row in every) if not archived else 0,
        known=bool(every),
    )


def _shown(row: FunctionRow, last_run: str | None, tallies: Sequence[Tally], most: int, now: int) -> FunctionShown:
    hour, day = Count(), Count()
    for tally in tallies:
        for count in (hour, day) if tally.part >= _PARTS - 1 else (day,):
            count.runs += tally.runs
            count.by_status[tally.status] += tally.runs
    day.more = day.runs >= most
    first_at = min((tally.first_at for tally in tallies), default=now)
    hour.more = day.more and first_at > now - _PART_MS
    return FunctionShown(
        row=row,
        spec=read_spec(row.config),
        last_run=(last_run, ids.time_of(last_run)) if last_run else None,
        hour=hour,
        day=day,
        counted_since=first_at if day.more else None,
        columns=sparkline(_stacks(tallies)),
    )


def _stacks(tallies: Sequence[Tally]) -> list[list[tuple[str, float]]]:
    failed, others = [0] * _PARTS, [0] * _PARTS
    for tally in tallies:
        of = failed if tally.status == RunStatus.FAILED else others
        of[min(tally.part, _PARTS - 1)] += tally.runs
    return [[("failed", failed[part]), ("completed", others[part])] for part in range(_PARTS)]
