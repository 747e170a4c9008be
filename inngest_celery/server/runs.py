"""What an SDK fetches while it is called, where it does not fit into the call (``/v0/runs``)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from inngest_celery import ids
from inngest_celery.server.access import audit, require_signing_key
from inngest_celery.server.access.identity import caller_of
from inngest_celery.server.errors import ApiError, Refusal
from inngest_celery.server.state import Serving
from inngest_celery.store import events, runs
from inngest_celery.store.rows import Run
from inngest_celery.worker.runs import RunEndedError, RunNotFoundError, Runs

router = APIRouter(prefix="/v0/runs", dependencies=[Depends(require_signing_key)])
_GONE: dict[str, Any] = {"model": Refusal, "description": "The run is gone."}
_ENDED: dict[str, Any] = {"model": Refusal, "description": "The run has ended in another way."}


@router.get("/{run_id}/actions", responses={410: _GONE})
def actions(server: Serving, run_id: str) -> Response:
    """Give what is recorded of a run's steps, by their hashes."""
    with server.runtime.database.autocommit() as connection:
        _live(runs.get(connection, checked(run_id)))
        memos = runs.memos(connection, run_id)
    return _json("{" + ",".join(f'"{key}":{memo}' for key, memo in memos.items()) + "}")


@router.get("/{run_id}/batch", responses={410: _GONE})
def batch(server: Serving, run_id: str) -> Response:
    """Give the events that started a run."""
    with server.runtime.database.autocommit() as connection:
        run = _live(runs.get(connection, checked(run_id)))
        started_by = events.of_run(connection, run_id) if run.batch else [events.get(connection, run.event_id)]
    return _json("[" + ",".join(events.as_json(event) for event in started_by if event is not None) + "]")


@router.delete("/{run_id}", status_code=204, responses={409: _ENDED})
def cancel(request: Request, server: Serving, run_id: str) -> None:
    """Cancel a run."""
    try:
        with audit.record(request, caller_of(request), "run.cancel", checked(run_id)):
            Runs(server.runtime.app).cancel(run_id)
    except RunNotFoundError as error:
        raise ApiError(404, str(error), code=error.code) from error
    except RunEndedError as error:
        raise ApiError(409, str(error), code=error.code) from error


def checked(run_id: str) -> str:
    """Give an id if it is one.

    Raises:
        ApiError: 400.
    """
    try:
        ids.time_of(run_id)
    except ValueError:
        raise ApiError(400, f"{run_id[:100]!r} is no id: ids are ULIDs, of 26 characters", code="invalid_id") from None
    return run_id


def _live(run: Run | None) -> Run:
    if run is None:
        raise ApiError(410, "the run is gone", code="run_not_found")
    return run


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")
