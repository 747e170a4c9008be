"""All functions: what starts them, whether they are paused, and what they have done in the last day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fastapi import APIRouter, Request
from starlette.responses import Response

from inngest_celery import ids
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.server.dashboard.charts import Column, sparkline
from inngest_celery.server.dashboard.figures import weight_of
from inngest_celery.server.dashboard.rendering import page, status_name
from inngest_celery.server.state import Serving
from inngest_celery.store import functions, statistics
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import RunStatus
from inngest_celery.store.statistics import Tally

router = APIRouter()

_PART_MS = 3_600_000
_PARTS = 24
# So many runs of a function are counted, and no more of all together: 20,000, or 50 of each function where there are
# very many. Where that is not all, so many of each hour are read, too. Five million runs make no difference to it.
_MOST_OF_ONE = 2_000
_MOST_OF_ALL = 20_000
_LEAST_OF_ONE = 50
_MOST_OF_A_PART = 1_000
# An estimate from fewer than these would say nothing.
_LEAST_FOUND = 10


@dataclass(slots=True)
class Count:
    """The runs of a time.

    Attributes:
        by_status: how many, estimated where ``about`` says so.
        more: whether there are more than were counted.
    """

    by_status: Counter[int] = field(default_factory=Counter)
    more: bool = False
    about: bool = False

    @property
    def runs(self) -> int:
        return sum(self.by_status.values())

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
        columns: of a small chart, by hour.
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
        most = max(min(_MOST_OF_ONE, _MOST_OF_ALL // max(len(rows), 1)), _LEAST_OF_ONE)
        edges = [now + 1 - _PART_MS * number for number in range(_PARTS, -1, -1)]
        tallies = _by_function(statistics.tallies(connection, [row.id for row in rows], edges[0], _PART_MS, most))
        busy = any(_runs(each) >= most for each in tallies.values())
        parts = list(pairwise(edges))
        sampled = statistics.tallies_of_all(connection, parts, _MOST_OF_A_PART) if busy else []
        last_runs = statistics.last_runs(connection)
    estimates, weights = _by_function(sampled), _weights(sampled, parts)
    return page(
        request,
        "functions.html",
        shown=[
            _shown(
                row, last_runs.get(row.id), *_best(tallies.get(row.id, []), most, estimates.get(row.id, []), weights)
            )
            for row in rows
        ],
        q=q,
        archived=archived,
        hidden=sum(row.archived_at is not None for row in every) if not archived else 0,
        known=bool(every),
    )


def _by_function(tallies: Sequence[Tally]) -> dict[str, list[Tally]]:
    found: dict[str, list[Tally]] = {}
    for tally in tallies:
        found.setdefault(tally.function_id, []).append(tally)
    return found


def _runs(tallies: Sequence[Tally]) -> int:
    return sum(tally.runs for tally in tallies)


def _weights(sampled: Sequence[Tally], parts: Sequence[tuple[int, int]]) -> list[float]:
    """Give how many runs each one stands for that was read of a part of the time."""
    weights = []
    for number, (since, until) in enumerate(parts):
        tallies = [tally for tally in sampled if tally.part == number]
        first_at = min((tally.first_at for tally in tallies), default=since)
        weights.append(weight_of(since, until, _runs(tallies), first_at, _MOST_OF_A_PART))
    return weights


def _best(
    counted: Sequence[Tally], most: int, sampled: Sequence[Tally], weights: Sequence[float]
) -> tuple[Counter[tuple[int, int]], bool, bool]:
    """Choose what tells most of a function's day: its own newest runs if those are all, else its share of all runs.

    Returns:
        How many runs by hour and status; whether there are more; whether it is an estimate.
    """
    more = _runs(counted) >= most
    about = more and _runs(sampled) >= _LEAST_FOUND
    found: Counter[tuple[int, int]] = Counter()
    for tally in sampled if about else counted:
        part = min(tally.part, _PARTS - 1)
        found[part, tally.status] += round(tally.runs * weights[part]) if about else tally.runs
    return found, more and not about, about


def _shown(
    row: FunctionRow, last_run: str | None, found: Counter[tuple[int, int]], more: bool, about: bool
) -> FunctionShown:
    hour, day = Count(more=more, about=about), Count(more=more, about=about)
    for (part, status), runs in found.items():
        day.by_status[status] += runs
        if part == _PARTS - 1:
            hour.by_status[status] += runs
    return FunctionShown(
        row=row,
        spec=read_spec(row.config),
        last_run=(last_run, ids.time_of(last_run)) if last_run else None,
        hour=hour,
        day=day,
        columns=sparkline(list(_stacks(found))),
    )


def _stacks(found: Counter[tuple[int, int]]) -> Iterator[list[tuple[str, float]]]:
    for part in range(_PARTS):
        failed = found[part, RunStatus.FAILED]
        yield [("failed", failed), ("completed", sum(found[part, status] for status in RunStatus) - failed)]
