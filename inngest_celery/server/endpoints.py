"""Durable endpoints: an app executes a run by itself, tells of it, and lets whoever asked wait for its output."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inngest_celery import ids
from inngest_celery.drivers.http.ops import read_ops
from inngest_celery.server import bodies, tokens
from inngest_celery.server.access import require_signing_key
from inngest_celery.server.addresses import normalised
from inngest_celery.server.checkpoints import MAX_BODY
from inngest_celery.server.documents import body_of
from inngest_celery.server.errors import ApiError, Refusal, first_problem
from inngest_celery.server.runs import checked
from inngest_celery.server.state import Server, Serving
from inngest_celery.store import runs
from inngest_celery.store.rows import Run, RunStatus
from inngest_celery.worker import inline, realtime_tokens
from inngest_celery.worker.runs import RunNotFoundError

T = TypeVar("T", bound=BaseModel)

router = APIRouter(prefix="/v1/checkpoint", dependencies=[Depends(require_signing_key)], tags=["checkpoint"])
output_router = APIRouter(tags=["checkpoint"])

# Shorter than proxies keep a connection that is silent; then the caller is sent to the same address again.
_WAIT_S = 50.0
_POLL_S = (0.05, 1.0)
# What concerns a connection, a browser's trust in this server or the form that a body was sent in.
_OWN_HEADERS = frozenset(
    {"connection", "content-encoding", "content-length", "date", "keep-alive", "server", "set-cookie"}
    | {"trailer", "transfer-encoding", "upgrade"}
)
# What whoever asked may listen to meanwhile, on the run's own channel.
_TOPICS = ("$run", "$step", "$stream")
_HEADER = re.compile(r"[a-z0-9-]+: [\x20-\x7e]*")

_AGAIN = {"description": "The run was begun before."}
_CONFLICT: dict[str, Any] = {"model": Refusal, "description": "The run is another's, or has ended."}
_OUTPUT: dict[int | str, dict[str, Any]] = {
    307: {"description": "The run goes on; ask again there."},
    409: {"model": Refusal, "description": "The run was cancelled."},
    500: {"model": Refusal, "description": "The run has failed."},
}


class HttpRequest(BaseModel):
    """What an endpoint was asked."""

    model_config = ConfigDict(extra="allow")

    domain: str = Field(min_length=1, max_length=1024)
    method: str = Field(pattern=r"^[A-Z]{1,16}$")
    path: str = Field("/", max_length=4096)
    query_params: str = ""
    body: str | None = ""
    content_type: str = Field("", pattern=r"^[\x20-\x7e]*$")
    fn: str = Field("", max_length=255)


class HttpEvent(BaseModel):
    model_config = ConfigDict(extra="ignore")

    data: HttpRequest


class Start(BaseModel):
    """A run that an app has begun.

    Attributes:
        run_id: as the app has chosen it.
        event: the request.
        steps: what is done of it already, and what is to be done.
        retries: how often a failed step is tried again.
        idempotency: what only one run a day may have.
    """

    model_config = ConfigDict(extra="ignore")

    run_id: str
    event: HttpEvent
    steps: list[dict[str, object]] = Field(default_factory=list)
    retries: int = Field(4, ge=0, le=20)
    idempotency: str | None = Field(None, min_length=1, max_length=400)


class Steps(BaseModel):
    """What has been done of a run since the last report, and what is to be done."""

    model_config = ConfigDict(extra="ignore")

    steps: list[dict[str, object]] = Field(default_factory=list)


@router.post("", status_code=201, responses={200: _AGAIN, 409: _CONFLICT}, openapi_extra=body_of(Start))
async def begin(request: Request, server: Serving) -> JSONResponse:
    """Store a run that an app executes by itself: 201, or 200 if it is told again."""
    given = await _read(request, Start)
    body = await run_in_threadpool(_begin, server, given, request.headers.get("x-inngest-sdk", ""))
    return JSONResponse({"data": body[0]}, 201 if body[1] else 200)


@router.post("/{run_id}/steps", responses={409: _CONFLICT}, openapi_extra=body_of(Steps))
async def report(request: Request, server: Serving, run_id: str) -> dict[str, object]:
    """Record what the app has done; with a step that it cannot do at once, the run is ours to go on with."""
    given = await _read(request, Steps)
    await run_in_threadpool(_report, server, checked(run_id), given.steps)
    return {"data": {"run_id": run_id}}


# The second one is where the TypeScript SDK sends its callers.
@output_router.get("/v1/checkpoint/{run_id}/output", responses=_OUTPUT)
@output_router.get("/v1/http/runs/{run_id}/output", responses=_OUTPUT)
async def output(request: Request, server: Serving, run_id: str, token: str = "") -> Response:
    """Wait for a run's end, and answer as the endpoint would have; see :class:`Start` for who gets a token."""
    if not tokens.allows_output(server, token, checked(run_id)):
        raise ApiError(401, "the token is missing, is another run's or has expired", code="authentication_failed")
    pause, longest = _POLL_S
    give_up_at = asyncio.get_running_loop().time() + _WAIT_S
    while True:
        run = await run_in_threadpool(_run, server, run_id)
        if run is None:
            raise ApiError(404, f"there is no run {run_id}", code="not_found")
        if RunStatus(run.status).ended:
            return _answer(run)
        if asyncio.get_running_loop().time() > give_up_at:
            return RedirectResponse(f"{request.url.path}?token={token}", 307)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, longest)


async def _read(request: Request, model: type[T]) -> T:
    body = bodies.json_of(await bodies.read(request, MAX_BODY, "keep what steps give elsewhere, and return references"))
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise ApiError(400, first_problem(error, "body"), code="body_invalid") from error


def _begin(server: Server, given: Start, sdk: str) -> tuple[dict[str, str], bool]:
    data = given.event.data.model_dump(exclude_unset=True)
    origin = normalised(given.event.data.domain)
    beginning = inline.Beginning(
        run_id=checked(given.run_id),
        data=data,
        origin=origin,
        retries=given.retries,
        idempotency=given.idempotency,
        sdk=sdk,
    )
    # Read before anything is stored.
    _ops(server, given.steps)
    try:
        begun = inline.begin(server.runtime, beginning)
    except (inline.RunExistsError, inline.NotInlineError) as error:
        raise ApiError(409, str(error), code=error.code) from error
    if given.steps:
        _report(server, given.run_id, given.steps)
    token = tokens.run_token(server, given.run_id)
    topics = [realtime_tokens.Topic(given.run_id, name) for name in _TOPICS]
    now_s = server.runtime.clock.now() // 1000
    told = {
        "fn_id": ids.function_uuid(begun.function_id),
        "app_id": ids.app_uuid(begun.app_id),
        "run_id": given.run_id,
        "token": token,
        "realtime_token": realtime_tokens.issue(server.settings.signing_keys, topics, now_s),
    }
    return told, begun.new


def _report(server: Server, run_id: str, steps: list[dict[str, object]]) -> None:
    ops = _ops(server, steps)
    try:
        counts = inline.report(server.runtime, run_id, ops)
    except RunNotFoundError as error:
        raise ApiError(404, str(error), code="not_found") from error
    except inline.NotInlineError as error:
        raise ApiError(409, str(error), code=error.code) from error
    except inline.StepTooLargeError as error:
        raise ApiError(413, str(error), code=error.code) from error
    if not counts:
        raise ApiError(
            409,
            "the run has ended, or was taken over: its app had been silent for too long. Drop it; what it does is "
            "done again.",
            code="stale_dispatch",
        )


def _ops(server: Server, steps: list[dict[str, object]]) -> list[Any]:
    try:
        return read_ops(steps, server.runtime.clock.now())
    except ValueError as error:
        raise ApiError(400, f"the steps are not understood: {error}", code="body_invalid") from error


def _run(server: Server, run_id: str) -> Run | None:
    with server.runtime.database.autocommit() as connection:
        return runs.get(connection, run_id)


def _answer(run: Run) -> Response:
    """Give the response that the endpoint has made, or say why it has made none."""
    given = json.loads(run.output) if run.output else None
    status = RunStatus(run.status)
    if status is RunStatus.FAILED:
        message = given.get("message") if isinstance(given, dict) else None
        raise ApiError(500, str(message or "the run has failed"), code="run_failed", data={"error": given})
    if status is not RunStatus.COMPLETED:
        raise ApiError(409, f"the run was {status.name.lower()}: {run.reason}", code=f"run_{status.name.lower()}")
    if isinstance(given, dict) and given.keys() == {"data"}:
        given = given["data"]
    if not isinstance(given, dict) or given.get("status") not in range(200, 600):
        return JSONResponse(given)
    body, headers = given.get("body"), given.get("headers")
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return Response(_unquoted(text), given["status"], _kept(headers if isinstance(headers, dict) else {}))


def _kept(headers: dict[str, object]) -> dict[str, str]:
    """Give those of a response's headers that still say something of it here."""
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    return {
        name: value
        for name, value in named.items()
        if name not in _OWN_HEADERS and not name.startswith("access-control-") and _HEADER.fullmatch(f"{name}: {value}")
    }


def _unquoted(text: str) -> str:
    """Give the JSON that an SDK has written as a string of JSON: what the endpoint itself has answered."""
    if not text.startswith('"'):
        return text
    try:
        inner = json.loads(text)
        return inner if isinstance(json.loads(inner), (dict, list)) else text
    except ValueError:
        return text
