"""One function: how it is configured, what limits it, and how its runs have gone lately."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Request
from starlette.responses import Response

from inngest_celery.engine.durations import format_duration
from inngest_celery.engine.spec import FunctionSpec, read_spec
from inngest_celery.server.dashboard.figures import PERCENTS
from inngest_celery.server.dashboard.trends import MOST_OF_A_PART, RANGES, Last, charts_of
from inngest_celery.server.errors import ApiError
from inngest_celery.server.rendering import page
from inngest_celery.server.state import Server, Serving
from inngest_celery.store import functions, listing, statistics
from inngest_celery.store.functions import CALL_TASK, FunctionRow
from inngest_celery.store.listing import Order, RunFilter
from inngest_celery.store.rows import JobKind
from inngest_celery.worker.control import FunctionNotRegisteredError
from inngest_celery.worker.limits import LimitInfo, Limits
from inngest_celery.worker.registry import declared
from inngest_celery.worker.why.wording import limit_in_words

router = APIRouter()

_RUNS_SHOWN = 10
_KEYS_SHOWN = 10
_MOST_COUNTED = 1_000


@router.get("/functions/{function_id:path}")
def show_function(request: Request, server: Serving, function_id: str, last: Last = "24h") -> Response:
    """Show a function."""
    now = server.runtime.clock.now()
    row = function_row(server, function_id)
    spec = read_spec(row.config)
    with server.runtime.database.autocommit() as connection:
        charts = charts_of(connection, row.id, last, now)
        newest = listing.page(connection, RunFilter(function_ids=[row.id]), Order(), _RUNS_SHOWN)
        held = statistics.held(connection, row.id, _MOST_COUNTED) if row.paused == functions.HOLD else 0
        put_off = statistics.put_off(connection, row.id, _KEYS_SHOWN)
    return page(
        request,
        "function.html",
        row=row,
        spec=spec,
        now=now,
        last=last,
        lasts=tuple(RANGES),
        charts=charts,
        read_most=MOST_OF_A_PART,
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
