"""The list of runs, and what can be done to many of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from inngest_celery.engine.expressions import ExpressionError
from inngest_celery.server import notices
from inngest_celery.server.dashboard.acting import Acting
from inngest_celery.server.dashboard.filters import LAST, STATUSES, Filter, RunsFilter
from inngest_celery.server.errors import ApiError
from inngest_celery.server.paging import read_position, write_cursor
from inngest_celery.server.rendering import page
from inngest_celery.server.state import Server, Serving
from inngest_celery.store import functions, listing
from inngest_celery.store.listing import Order, RunFilter, RunTime
from inngest_celery.store.rows import Event, Run
from inngest_celery.worker import bulk, deleting
from inngest_celery.worker.selecting import Selection, slices

router = APIRouter()

_ON_A_PAGE = 40
# A search looks at so many runs for one page, and goes on from there on the next.
_LOOKED_AT = 5_000
_MOST_CHECKED = 500


@dataclass(slots=True)
class _Page:
    """Some runs, and where the next page begins.

    Attributes:
        cut: whether more were looked at than a page may cost.
        error: why nothing could be looked at.
    """

    runs: list[Run] = field(default_factory=list)
    events: dict[str, Event] = field(default_factory=dict)
    cursor: str | None = None
    cut: bool = False
    error: str | None = None


@router.get("/")
def home() -> Response:
    return RedirectResponse("/runs", status_code=307)


@router.get("/runs")
def list_runs(request: Request, server: Serving, wanted: Filter, cursor: str = "") -> Response:
    """Show runs, the newest first."""
    try:
        found = _read(server, wanted.selection(server), cursor)
    except (ApiError, ExpressionError) as error:
        found = _Page(error=str(error))
    with server.runtime.database.autocommit() as connection:
        known = sorted(functions.all_of(connection), key=lambda row: row.id)
    return page(
        request,
        "runs.html",
        400 if found.error else 200,
        found=found,
        wanted=wanted,
        cursor=cursor,
        now=server.runtime.clock.now(),
        statuses=STATUSES,
        lasts=tuple(LAST),
        function_ids=[row.id for row in known],
        app_ids=sorted({row.app_id for row in known}),
        # A form that is sent twice repeats each run once.
        replay_id=bulk.new_replay_id(server.runtime),
    )


def _read(server: Server, chosen: Selection, cursor: str) -> _Page:
    order = Order(after=read_position(cursor))
    looked_at, found = 0, _Page()
    size = _ON_A_PAGE + 1 if not chosen.where else None
    for part in slices(server.runtime, chosen, order, size=size, with_events=True):
        looked_at += part.looked_at
        found.events |= part.events
        found.runs += part.runs
        if len(found.runs) > _ON_A_PAGE:
            found.runs = found.runs[:_ON_A_PAGE]
            found.cursor = write_cursor(*listing.position(found.runs[-1], RunTime.QUEUED_AT))
            return found
        if looked_at >= _LOOKED_AT:
            found.cut = True
            found.cursor = write_cursor(*listing.position(part.last, RunTime.QUEUED_AT))
            return found
    return found


Checked = Annotated[list[str], Form(alias="run")]


@router.post("/runs/cancel")
def cancel(server: Serving, acting: Acting, wanted: Filter, run: Checked = []) -> Response:  # noqa: B006  FastAPI copies it
    """Cancel the runs that are checked."""
    chosen = _checked(run)
    with acting.does("runs.cancel", details={"ids": run}) as entry:
        *_, done = [bulk.Progress(), *bulk.cancel(server.runtime, chosen, "cancelled in the dashboard")]
        entry.tell(cancelled=done.done)
    return _back(wanted, f"{_runs(done.done)} cancelled", len(run) - done.done, "had ended already")


@router.post("/runs/replay")
def replay(
    server: Serving,
    acting: Acting,
    wanted: Filter,
    replay: Annotated[str, Form()],
    run: Checked = [],  # noqa: B006
) -> Response:
    """Run those that are checked again."""
    chosen = _checked(run)
    with acting.does("runs.replay", details={"ids": run, "replay": replay[:26]}) as entry:
        *_, done = [bulk.Progress(), *bulk.replay(server.runtime, chosen, replay)]
        entry.tell(started=done.done)
    return _back(wanted, f"{_runs(done.done)} started again", len(run) - done.done, "cannot be run again")


@router.post("/runs/delete")
def delete(server: Serving, acting: Acting, wanted: Filter, run: Checked = []) -> Response:  # noqa: B006
    """Delete those that are checked and have ended."""
    run_ids = _ids(run)
    with acting.does("runs.delete", details={"ids": run_ids}) as entry:
        deleted = deleting.delete_ended(server.runtime, run_ids)
        entry.tell(deleted=deleted)
    return _back(
        wanted, f"{_runs(deleted)} deleted", len(run) - deleted, "have not ended (cancel them first), or are held"
    )


def _checked(run_ids: list[str]) -> Selection:
    return Selection(RunFilter(ids=_ids(run_ids)))


def _ids(run_ids: list[str]) -> list[str]:
    if not run_ids:
        raise ApiError(400, "No run is checked: check some, then choose what is to become of them.")
    if len(run_ids) > _MOST_CHECKED:
        raise ApiError(400, f"{len(run_ids)} runs are checked; {_MOST_CHECKED} at a time are allowed.")
    return run_ids


def _back(wanted: RunsFilter, text: str, others: int, why: str) -> Response:
    rest = f"; {others} {why}" if others else ""
    return notices.redirect(wanted.address(), f"{text}{rest}.", failed=bool(others))


def _runs(number: int) -> str:
    return "1 run was" if number == 1 else f"{number} runs were"
