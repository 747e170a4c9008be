"""Connect: apps that cannot be called dial in, and are called over the WebSocket that they hold."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from google.protobuf.message import DecodeError

from inngest_celery import ids
from inngest_celery.drivers.connect import wire_pb2 as wire
from inngest_celery.server.access import require_signing_key
from inngest_celery.server.connect.gateway import PATH, Gateway
from inngest_celery.server.errors import ApiError, Refusal
from inngest_celery.server.state import Serving
from inngest_celery.worker.signing_keys import mark_of

router = APIRouter(tags=["connect"])

_PROTOBUF = "application/protobuf"
_GROUP = "default"
_TRY_LATER = 1013
_BYTES = {_PROTOBUF: {"schema": {"type": "string", "format": "binary"}}}
_DOCUMENTED: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {"content": _BYTES},
        501: {"model": Refusal, "description": "This server has no Redis to meet workers in."},
    },
    "openapi_extra": {"requestBody": {"content": _BYTES}},
}


@router.post("/v0/connect/start", dependencies=[Depends(require_signing_key)], **_DOCUMENTED)
async def start(request: Request, server: Serving) -> Response:
    """Tell an app where to dial in, and what to show there."""
    gateway = _gateway(request)
    if gateway.closing:
        raise ApiError(503, "this server is about to end; dial in at another one, or again", code="gateway_closing")
    connection_id = ids.new(server.runtime.clock.now())
    mark = mark_of(getattr(request.state, "signing_key", None))
    token = await run_in_threadpool(gateway.channel.presence.new_token, connection_id, mark)
    answer = wire.StartResponse(
        connection_id=connection_id,
        gateway_endpoint=_endpoint(request, server.options.gateway_port),
        gateway_group=_GROUP,
        session_token=token,
        sync_token=token,
    )
    return Response(answer.SerializeToString(), media_type=_PROTOBUF)


@router.post("/v0/connect/flush", dependencies=[Depends(require_signing_key)], **_DOCUMENTED)
async def flush(request: Request) -> Response:
    """Take an answer whose receipt the gateway has not confirmed: its connection may have broken."""
    body = await request.body()
    try:
        reply = wire.Reply.FromString(body)
    except DecodeError as error:
        raise ApiError(400, "the body is no answer to a call", code="body_invalid") from error
    await _gateway(request).take_answer(reply.request_id, body)
    return Response(wire.FlushResponse(request_id=reply.request_id).SerializeToString(), media_type=_PROTOBUF)


@router.websocket(PATH)
async def dial_in(websocket: WebSocket) -> None:
    """Hold the connection of an app."""
    gateway: Gateway | None = websocket.app.state.gateway
    if gateway is None or gateway.closing:
        await websocket.close(_TRY_LATER)
    else:
        await gateway.serve(websocket)


def _gateway(request: Request) -> Gateway:
    gateway: Gateway | None = request.app.state.gateway
    if gateway is None:
        raise ApiError(
            501,
            "Workers and gateways of apps that dial in meet in a Redis, and this server has none. "
            "Set inngest_redis_url.",
            code="redis_missing",
        )
    return gateway


def _endpoint(request: Request, port: int | None) -> str:
    scheme = "wss" if request.url.scheme == "https" else "ws"
    netloc = request.url.netloc if port is None else f"{request.url.hostname}:{port}"
    return f"{scheme}://{netloc}{PATH}"
