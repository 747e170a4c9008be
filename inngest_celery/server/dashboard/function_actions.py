"""What can be done to a function: pause it, let it go on, drain it, call it, set its limits, archive it."""

from __future__ import annotations

import json
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form
from starlette.responses import Response

from inngest_celery.engine.durations import parse_duration
from inngest_celery.engine.spec import read_spec
from inngest_celery.server import events, notices
from inngest_celery.server.dashboard.acting import Acting
from inngest_celery.server.dashboard.function import function_row, in_code
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import Serving
from inngest_celery.settings import SettingsError
from inngest_celery.store import runs
from inngest_celery.worker.control import Control, FunctionNotRegisteredError
from inngest_celery.worker.limits import LimitInvalidError, LimitNotFoundError, Limits

router = APIRouter(prefix="/functions/{function_id:path}")

_UNTOLD = " Redis does not answer: the workers tell it within 30 seconds of its coming back."


@router.post("/pause")
def pause(
    server: Serving, acting: Acting, function_id: str, mode: Annotated[Literal["skip", "hold"], Form()]
) -> Response:
    """Let a function start no more runs."""
    row = function_row(server, function_id)
    with acting.does("function.pause", row.id, {"mode": mode}):
        Control(server.runtime.app).pause(row.id, mode)
    becomes = "held until it is resumed" if mode == "hold" else "skipped"
    return _back(row.id, f"The function is paused: new runs are {becomes}.")


@router.post("/resume")
def resume(server: Serving, acting: Acting, function_id: str) -> Response:
    """Let a function start runs again."""
    row = function_row(server, function_id)
    with acting.does("function.resume", row.id):
        Control(server.runtime.app).resume(row.id)
    return _back(row.id, "The function starts runs again.")


@router.post("/drain")
def drain(server: Serving, acting: Acting, function_id: str) -> Response:
    """Let a function end what it has."""
    row = function_row(server, function_id)
    with acting.does("function.drain", row.id):
        Control(server.runtime.app).drain(row.id)
    return _back(row.id, "The function ends the runs that it has; new ones are skipped until it is resumed.")


@router.post("/archive")
def archive(server: Serving, acting: Acting, function_id: str) -> Response:
    """Let a function that is gone from the code start no more runs."""
    row = function_row(server, function_id)
    if in_code(server, row):
        text = "The function is in the code, and would be registered again: remove it there first, or pause it."
        return _back(row.id, text, failed=True)
    try:
        with acting.does("function.archive", row.id):
            Control(server.runtime.app).archive(row.id)
    except FunctionNotRegisteredError:
        return _back(row.id, "The function is archived already.", failed=True)
    return _back(row.id, "The function is archived: it starts no more runs, and those that it has go on.")


@router.post("/invoke")
def invoke(server: Serving, acting: Acting, function_id: str, data: Annotated[str, Form()] = "") -> Response:
    """Call a function, whatever triggers it."""
    row = function_row(server, function_id)
    if row.archived_at is not None or read_spec(row.config).is_task:
        return _back(row.id, "The function starts no runs, so it cannot be called.", failed=True)
    try:
        given = _object(data)
        with acting.does("function.invoke", row.id) as entry:
            run_id = events.call_for_run(server, row, given, None)
            entry.tell(run_id=run_id)
    except (ApiError, ValueError) as error:
        return _back(row.id, str(error), failed=True)
    with server.runtime.database.autocommit() as connection:
        started = runs.get(connection, run_id) is not None
    if not started:
        return _back(row.id, f"The call is stored. Run {run_id} begins when a worker takes it up.")
    return notices.redirect(f"/runs/{run_id}", "The function is called: this is its run.")


@router.post("/limits")
def set_limit(
    server: Serving,
    acting: Acting,
    function_id: str,
    policy: Annotated[str, Form()],
    limit: Annotated[float, Form()],
    period: Annotated[str, Form()] = "",
    burst: Annotated[int | None, Form()] = None,
    lasting: Annotated[str, Form(alias="for")] = "",
) -> Response:
    """Let a limit be another than the code says, for a while or until it is reset."""
    row = function_row(server, function_id)
    try:
        period_ms, for_ms = _milliseconds("period", period), _milliseconds("for", lasting)
        with acting.does("limit.set", row.id, {"policy": policy[:64], "limit": limit, "for_ms": for_ms}):
            stored, told = Limits(server.runtime.app).set(
                row.id, policy, limit, period_ms=period_ms, burst=burst, for_ms=for_ms
            )
    except (LimitInvalidError, LimitNotFoundError, SettingsError, ValueError) as error:
        return _back(row.id, str(error).removeprefix("--"), failed=True)
    until = f"for {lasting.strip()}" if stored.expires_at else "until it is reset"
    return _back(row.id, f"{policy} is {limit:.12g} {until}.{'' if told else _UNTOLD}", failed=not told)


@router.post("/limits/reset")
def reset_limit(server: Serving, acting: Acting, function_id: str, policy: Annotated[str, Form()]) -> Response:
    """Let what the code says hold again."""
    row = function_row(server, function_id)
    try:
        with acting.does("limit.reset", row.id, {"policy": policy[:64]}):
            _, told = Limits(server.runtime.app).reset(row.id, policy)
    except SettingsError as error:
        return _back(row.id, str(error), failed=True)
    return _back(row.id, f"{policy} is what the code says.{'' if told else _UNTOLD}", failed=not told)


def _back(function_id: str, text: str, *, failed: bool = False) -> Response:
    return notices.redirect(f"/functions/{quote(function_id)}", text, failed=failed)


def _milliseconds(field: str, text: str) -> int | None:
    try:
        return parse_duration(text) if text.strip() else None
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error


def _object(text: str) -> dict[str, object]:
    """Read what an editor gives.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        read = json.loads(text.strip() or "{}")
    except ValueError as error:
        raise ValueError(f"The data is no JSON: {error}") from error
    if not isinstance(read, dict):
        raise ValueError("The data is a JSON object, such as {}.")
    return read
