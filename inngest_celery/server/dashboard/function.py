"""One function: how it is configured, what limits it, and how its runs have gone lately."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from inngest_celery.engine.durations import duration, format_duration
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.server.dashboard import charts
from inngest_celery.server.dashboard.charts import Chart, Mark
from inngest_celery.server.dashboard.figures import PERCENTS, Figures, Sample, figures_of, sample
from inngest_celery.server.errors import ApiError
from inngest_celery.server.rendering import page, status_name
from inngest_celery.server.state import Server, Serving
from inngest_celery.store import functions, listing, statistics
from inngest_celery.store.functions import CALL_TASK, FunctionRow
from inngest_celery.store.listing import Order, RunFilter
from inngest_celery.store.rows import JobKind, RunStatus
from inngest_celery.worker.control import FunctionNotRegisteredError
from inngest_celery.worker.limits import LimitInfo, Limits
from inngest_celery.worker.registry import declared
from inngest_celery.worker.why.wording import limit_in_words

router = APIRouter()

Last = Literal["1h", "24h", "7d"]
# How long, in how many parts, and how far the marks of the axis are from each other.
_RANGES: dict[Last, tuple[int, int, int]] = {
    "1h": (3_600_000, 60, 900_000),
    "24h": (86_400_000, 48, 6 * 3_600_000),
    "7d": (7 * 86_400_000, 56, 86_400_000),
}
# So many runs are read for each part, and 12,000 at the most for a page, however many there are.
_MOST_OF_A_PART = 200
_RUNS_SHOWN = 10
_KEYS_SHOWN = 10
_MOST_COUNTED = 1_000
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


@router.get("/functions/{function_id:path}")
def show_function(request: Request, server: Serving, function_id: str, last: Last = "24h") -> Response:
    """Show a function."""
    now = server.runtime.clock.now()
    row = function_row(server, function_id)
    spec = read_spec(row.config)
    parts = _parts(last, now)
    with server.runtime.database.autocommit() as connection:
        times = statistics.samples(connection, row.id, parts, _MOST_OF_A_PART)
        newest = listing.page(connection, RunFilter(function_ids=[row.id]), Order(), _RUNS_SHOWN)
        held = statistics.held(connection, row.id, _MOST_COUNTED) if row.paused == functions.HOLD else 0
        put_off = statistics.put_off(connection, row.id, _KEYS_SHOWN)
    samples = [sample(since, until, read, _MOST_OF_A_PART) for (since, until), read in zip(parts, times, strict=True)]
    return page(
        request,
        "function.html",
        row=row,
        spec=spec,
        now=now,
        last=last,
        lasts=tuple(_RANGES),
        charts=_charts(samples, last, now),
        read_most=_MOST_OF_A_PART,
        percents=PERCENTS,
        runs=newest,
        limits=_limits(server, row),
        held=held,
        held_more=held == _MOST_COUNTED,
        put_off=put_off,
        batch=JobKind.BATCH,
        words=limit_in_words,
        settings=list(_in_words(spec)),
        config=row.config,
        may_archive=row.archived_at is None and not in_code(server, row),
    )


def function_row(server: Server, function_id: str) -> FunctionRow:
    """Give a function, archived ones too.

    Raises:
        ApiError: there is none.
    """
    with server.runtime.database.autocommit() as connection:
        row = functions.get(connection, function_id)
    if row is None:
        raise ApiError(404, str(FunctionNotRegisteredError(function_id)), code=FunctionNotRegisteredError.code)
    return row


def in_code(server: Server, row: FunctionRow) -> bool:
    """Tell whether this server's code has a function, or its app says itself which functions it has."""
    return row.task_name == CALL_TASK or any(each.id == row.id for each in declared(server.runtime.app))


def _parts(last: Last, now: int) -> list[tuple[int, int]]:
    length, count, _ = _RANGES[last]
    width = length // count
    # The end is left out, and what was queued just now is to be seen.
    edges = [now + 1 - width * number for number in range(count, -1, -1)]
    return list(pairwise(edges))


def _charts(samples: list[Sample], last: Last, now: int) -> Charts:
    length, _, step = _RANGES[last]
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
    until = max(now + 1 - part.until, 0)
    return f"{format_duration(now + 1 - part.since)} to {format_duration(until)} ago" if until else "until now"


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


def _limits(server: Server, row: FunctionRow) -> list[LimitInfo]:
    try:
        return Limits(server.runtime.app).list(row.id, _KEYS_SHOWN)
    except FunctionNotRegisteredError:
        # It is archived: nothing starts that would be limited.
        return []


def _in_words(spec: FunctionSpec) -> Iterator[tuple[str, str]]:
    """Say how a function is configured, besides its limits."""
    yield "Retries", str(spec.retries)
    if spec.priority:
        yield "Priority", spec.priority
    if spec.idempotency:
        yield "Idempotency", f"one run a day for each {spec.idempotency}"
    if spec.debounce:
        longest = f", at the latest after {_ms(spec.debounce.timeout_ms)}" if spec.debounce.timeout_ms else ""
        yield "Debounce", f"{_ms(spec.debounce.period_ms)} after the last event{_key(spec.debounce.key)}{longest}"
    if spec.batch:
        yield "Batch", f"up to {spec.batch.max_size} events in {_ms(spec.batch.timeout_ms)}{_key(spec.batch.key)}"
    if spec.singleton:
        becomes = "the earlier run is cancelled" if spec.singleton.cancels else "later runs are skipped"
        yield "Singleton", f"one run at a time{_key(spec.singleton.key)}; {becomes}"
    for cancel in spec.cancel:
        yield "Cancelled on", cancel.event + (f" if {cancel.expression}" if cancel.expression else "")
    if spec.start_timeout_ms:
        yield "Must start within", _ms(spec.start_timeout_ms)
    if spec.finish_timeout_ms:
        yield "Must end within", _ms(spec.finish_timeout_ms)
    if spec.shared:
        yield "Shares limits as", spec.shared
    if spec.url:
        yield "Called at", spec.url


def _key(key: str | None) -> str:
    return f" for each {key}" if key else ""


def _ms(milliseconds: int) -> str:
    return format_duration(milliseconds)
