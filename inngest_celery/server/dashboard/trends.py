"""How a function's runs have gone over a time: what is read of them, and the charts that are made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import sqlalchemy as sa

from inngest_celery.engine.durations import duration, format_duration
from inngest_celery.server.dashboard import charts
from inngest_celery.server.dashboard.charts import Chart, Mark
from inngest_celery.server.dashboard.figures import PERCENTS, Figures, Sample, figures_of, sample
from inngest_celery.server.rendering import status_name
from inngest_celery.store import statistics
from inngest_celery.store.rows import RunStatus

Last = Literal["1h", "24h", "7d"]
# How long, in how many parts, and how far the marks of the axis are from each other.
RANGES: dict[Last, tuple[int, int, int]] = {
    "1h": (3_600_000, 60, 900_000),
    "24h": (86_400_000, 48, 6 * 3_600_000),
    "7d": (7 * 86_400_000, 56, 86_400_000),
}
# So many runs are read for each part, and 12,000 at the most for a page, however many there are.
MOST_OF_A_PART = 200
# From below: what is well stands on the ground.
_STACK = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.SKIPPED, RunStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Charts:
    """What is drawn of a function's runs.

    Attributes:
        table: for each part of the time, the newest first: since when, until when, and what it comes to.
    """

    runs: Chart
    failures: Chart
    durations: Chart
    waits: Chart
    marks: list[Mark]
    whole: Figures
    table: list[tuple[Sample, Figures]]


def charts_of(connection: sa.Connection, function_id: str, last: Last, now: int) -> Charts:
    """Read the runs of a function with one statement, and lay out charts of them.

    Args:
        last: how far back.
        now: milliseconds.
    """
    parts = _parts(last, now)
    times = statistics.samples(connection, function_id, parts, MOST_OF_A_PART)
    samples = [sample(since, until, read, MOST_OF_A_PART) for (since, until), read in zip(parts, times, strict=True)]
    return _charts(samples, last, now)


def _parts(last: Last, now: int) -> list[tuple[int, int]]:
    length, count, _ = RANGES[last]
    width = length // count
    # The end is left out, and what was queued just now is to be seen.
    edges = [now + 1 - width * number for number in range(count, -1, -1)]
    return list(pairwise(edges))


def _charts(samples: list[Sample], last: Last, now: int) -> Charts:
    length, _, step = RANGES[last]
    figures = [figures_of([each]) for each in samples]
    titles = [f"{_when(each, now)}: {_counted(of)}" for each, of in zip(samples, figures, strict=True)]
    slow = [f"{_when(each, now)}: {_lengths(of.durations)}" for each, of in zip(samples, figures, strict=True)]
    waiting = [f"{_when(each, now)}: {_lengths(of.waits)}" for each, of in zip(samples, figures, strict=True)]
    names = [f"p{percent}" for percent in PERCENTS]
    return Charts(
        runs=charts.stacked([list(_stack(of)) for of in figures], titles),
        failures=charts.stacked([[("failed", of.by_status.get(RunStatus.FAILED, 0))] for of in figures], titles),
        durations=charts.curves(
            [(name, [of.durations[number] for of in figures]) for number, name in enumerate(names)], slow
        ),
        waits=charts.curves(
            [(name, [of.waits[number] for of in figures]) for number, name in enumerate(names)], waiting
        ),
        marks=charts.time_marks(length, step),
        whole=figures_of(samples),
        table=[pair for pair in zip(samples, figures, strict=True) if pair[1].read][::-1],
    )


def _stack(figures: Figures) -> Iterator[tuple[str, float]]:
    for status in _STACK:
        yield status_name(status).lower(), figures.by_status.get(status, 0)
    yield "queued", figures.by_status.get(RunStatus.SCHEDULED, 0)


def _when(part: Sample, now: int) -> str:
    since, until = format_duration(now + 1 - part.since), now + 1 - part.until
    return f"{since} to {format_duration(until)} ago" if until else f"the last {since}"


def _counted(figures: Figures) -> str:
    about = "" if figures.exact else "about "
    runs = f"{about}{figures.runs:,.0f} run{'' if figures.runs == 1 else 's'}"
    said = [f"{count:,.0f} {status_name(status).lower()}" for status, count in sorted(figures.by_status.items())]
    return f"{runs} ({', '.join(said)})" if said else runs


def _lengths(values: list[int | None]) -> str:
    said = [
        f"p{percent} {duration(value)}" for percent, value in zip(PERCENTS, values, strict=True) if value is not None
    ]
    return ", ".join(said) or "nothing"
