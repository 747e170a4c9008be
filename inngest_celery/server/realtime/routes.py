"""``/v1/realtime``: a token, publish, and two ways to listen."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, WebSocket
from fastapi.responses import Response
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from inngest_celery.server import bodies
from inngest_celery.server.access import require_signing_key
from inngest_celery.server.errors import ApiError
from inngest_celery.server.realtime.delivery import over_sse, over_websocket
from inngest_celery.server.realtime.hub import Hub
from inngest_celery.server.realtime.requests import Requests
from inngest_celery.server.realtime.streams import publish_stream
from inngest_celery.server.realtime.topics import MAX_TOPICS, Name, read_topics, token_of, topics_of_token
from inngest_celery.server.state import Serving, server_of
from inngest_celery.worker import realtime_tokens
from inngest_celery.worker.realtime import MAX_BYTES, compose
from inngest_celery.worker.realtime_tokens import Topic

router = APIRouter(prefix="/v1/realtime", tags=["realtime"])

STREAM = "$stream"
Names = Annotated[list[Name], Query(min_length=1, max_length=MAX_TOPICS)]


@router.post("/token", dependencies=[Depends(require_signing_key)], status_code=201)
async def token(request: Request, server: Serving) -> dict[str, str]:
    """Give a token with which somebody else may listen to some topics."""
    topics = read_topics(await bodies.read(request, MAX_BYTES, "ask for fewer topics at a time"))
    return {"jwt": realtime_tokens.issue(server.settings.signing_keys, topics, server.runtime.clock.now() // 1000)}


@router.post("/publish", dependencies=[Depends(require_signing_key)])
async def publish(
    request: Request,
    server: Serving,
    channel: Annotated[Name, Query()],
    topic: Names,
    run_id: str | None = None,
    metadata: str | None = None,
) -> dict[str, object]:
    """Publish a message to whoever listens to one of the topics now; a stream, if the body is ``text/stream``."""
    hub, clock = hub_of(request), server.runtime.clock
    if request.headers.get("content-type", "").startswith("text/stream"):
        await publish_stream(hub, channel, topic, request.stream(), clock.now, run_id or None)
        return {"status": 200}
    data = _data(request, await bodies.read(request, MAX_BYTES, "publish where it can be fetched, or a stream"))
    about = _json(metadata) if metadata else None
    for name in topic:
        message = compose("data", channel, name, data, clock.now(), run_id=run_id or None, metadata=about)
        await hub.publish(channel, name, message)
    return {"status": 200}


@router.post(
    "/publish/tee",
    dependencies=[Depends(require_signing_key)],
    response_class=Response,
    responses={200: {"content": {"*/*": {}}, "description": "What was sent."}},
)
async def tee(
    request: Request, server: Serving, channel: Annotated[Name, Query()], topic: Annotated[Name, Query()] = STREAM
) -> Response:
    """Publish a stream, and answer with all of it at its end: not every client reads an answer while it sends."""
    parts, now = request.stream(), server.runtime.clock.now
    body = await publish_stream(hub_of(request), channel, [topic], parts, now, None)
    return Response(body, media_type=request.headers.get("content-type", "application/octet-stream"))


@router.websocket("/connect")
async def connect(websocket: WebSocket) -> None:
    """Send messages as frames, and take those that say to which topics the client wants to listen, too, or no more."""
    hub = hub_of(websocket)
    try:
        async with hub.listening(_allowed(websocket)) as listener:
            await over_websocket(websocket, listener, Requests(server_of(websocket), hub, listener).take)
    except ApiError as error:
        await websocket.send_denial_response(error.to_response())


@router.get("/sse")
async def sse(request: Request) -> Response:
    """Send messages as server-sent events."""
    return _EventStream(hub_of(request), _allowed(request))


class _EventStream(Response):
    """Answers once it is certain that messages come."""

    def __init__(self, hub: Hub, topics: frozenset[Topic]) -> None:
        super().__init__()
        self._hub, self._topics = hub, topics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._hub.listening(self._topics) as listener:
                await over_sse(receive, send, listener)
        except ApiError as error:
            await error.to_response()(scope, receive, send)


def hub_of(connection: HTTPConnection) -> Hub:
    hub: Hub = connection.app.state.realtime
    return hub


def _allowed(connection: HTTPConnection) -> frozenset[Topic]:
    """Give what the holder of the request's token may listen to."""
    return topics_of_token(server_of(connection), token_of(connection))


def _data(request: Request, body: bytes) -> object:
    """Give what a body says: JSON, or else text, as SDKs send texts as they are."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is neither JSON nor text: {error}", code="body_invalid") from None
    return text if request.headers.get("content-type", "").startswith("text/") else _json(text)


def _json(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")
