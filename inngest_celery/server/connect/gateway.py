"""The gateway: holds the WebSockets of apps, passes calls on to them and their answers back."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from dataclasses import dataclass, field

import redis
from fastapi import WebSocket
from fastapi.concurrency import run_in_threadpool
from google.protobuf.message import DecodeError, Message
from sqlalchemy.exc import DBAPIError
from starlette.websockets import WebSocketDisconnect, WebSocketState

from inngest_celery import ids
from inngest_celery.drivers.connect import wire_pb2 as wire
from inngest_celery.drivers.connect.calling import extend_every_s
from inngest_celery.drivers.connect.channel import Channel, Told
from inngest_celery.drivers.connect.presence import ALIVE_S, Connection, ServedApp, Status, mark_of
from inngest_celery.server import registration
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import Server
from inngest_celery.store import apps
from inngest_celery.store.database import DatabaseError

logger = logging.getLogger(__name__)

PATH = "/v0/connect/ws"
_PROTOCOL = "v0.connect.inngest.com"
_HEARTBEAT_S = 10
_HANDSHAKE_S = 15.0
# So many calls a connection has at a time, if it does not say how many it takes.
_MOST_CALLS = 1000
_LOOK_EVERY_S = 1.0
_CLOSE_S = 5.0
_REFUSED, _GOING_AWAY = 4001, 1001


@dataclass(slots=True, eq=False)
class _Line:
    """One app's WebSocket, once it is known whose it is.

    Attributes:
        about: what others may know of it.
        mark: tells the signing key that it was begun with.
        calls: those that it has, and when each was last heard of, by the loop's clock.
    """

    websocket: WebSocket
    about: Connection
    mark: str
    calls: dict[str, float] = field(default_factory=dict)
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self, kind: wire.Kind, message: Message | None = None) -> None:
        async with self.sending:
            await _send(self.websocket, kind, message)


async def _send(websocket: WebSocket, kind: wire.Kind, message: Message | None = None) -> None:
    payload = b"" if message is None else message.SerializeToString()
    await websocket.send_bytes(wire.Message(kind=kind, payload=payload).SerializeToString())


async def _receive(websocket: WebSocket) -> wire.Message:
    return wire.Message.FromString(await websocket.receive_bytes())


class Gateway:
    """Serves the connections of one server process.

    Calls come from workers through Redis, and answers go back there. A connection that breaks takes nothing with it:
    its app goes on, and reports over the next one, to whichever gateway that leads.

    Args:
        server: where apps are registered.
        channel: where workers leave calls.

    Attributes:
        closing: whether it is about to end, and wants no more connections.
    """

    def __init__(self, server: Server, channel: Channel) -> None:
        self.id = ids.new(server.runtime.clock.now())
        self.channel = channel
        self.closing = False
        self._server = server
        self._lines: dict[str, _Line] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        self._taking = threading.Thread(target=self._take_calls, name="inngest-gateway", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    # Calls, from workers

    def start(self) -> None:
        """Begin to take calls; from the loop that serves the connections."""
        self._loop = asyncio.get_running_loop()
        self._taking.start()

    def _take_calls(self) -> None:
        while not self._ended.is_set():
            try:
                found = self.channel.next_call(self.id, _LOOK_EVERY_S)
            except redis.RedisError as error:
                self._warn(error)
                self._ended.wait(_LOOK_EVERY_S)
                continue
            if found is not None and self._loop is not None and not self._ended.is_set():
                self._loop.call_soon_threadsafe(self._begin, *found)

    def _begin(self, connection_id: str, request: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._pass_on(connection_id, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, connection_id: str, payload: bytes) -> None:
        """Send a call to an app, or tell the worker that it is not."""
        request = wire.ExecutorRequest.FromString(payload)
        try:
            if not await run_in_threadpool(self.channel.is_wanted, request.request_id):
                return
            line = self._lines.get(connection_id)
            if line is None or not self._has_room(line):
                await self._tell(request.request_id, Told.REFUSED)
                return
            line.calls[request.request_id] = self._time()
            try:
                await line.send(wire.GATEWAY_EXECUTOR_REQUEST, request)
            except (RuntimeError, WebSocketDisconnect):
                # It has closed meanwhile.
                await self._tell(request.request_id, Told.REFUSED)
        except redis.RedisError as error:
            self._warn(error)

    def _has_room(self, line: _Line) -> bool:
        if len(line.calls) >= line.about.most:
            # An app may drop a call without a word.
            oldest = self._time() - self.channel.lease_s
            line.calls = {request_id: at for request_id, at in line.calls.items() if at > oldest}
        return len(line.calls) < line.about.most

    async def _tell(self, request_id: str, what: Told, payload: bytes = b"") -> None:
        await run_in_threadpool(self.channel.tell, request_id, what, payload)

    # Connections, from apps

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one connection until it ends."""
        if _PROTOCOL not in websocket.scope.get("subprotocols", []):
            await websocket.close(_REFUSED)
            return
        await websocket.accept(subprotocol=_PROTOCOL)
        line: _Line | None = None
        reason = "UNEXPECTED"
        try:
            line = await self._shake_hands(websocket)
            if line is not None:
                await self._listen(line)
        except TimeoutError:
            reason = "CONSECUTIVE_HEARTBEATS_MISSED"
        except (WebSocketDisconnect, RuntimeError, DecodeError) as error:
            logger.debug("A connection ended: %s", error)
        finally:
            if line is not None:
                await self._let_go(line, reason)
            if websocket.client_state is WebSocketState.CONNECTED:
                await _close(websocket)

    async def _shake_hands(self, websocket: WebSocket) -> _Line | None:
        """Learn who it is, and register its apps; ``None`` if it is refused."""
        await _send(websocket, wire.GATEWAY_HELLO)
        message = await asyncio.wait_for(_receive(websocket), _HANDSHAKE_S)
        said = wire.WorkerConnect.FromString(message.payload)
        try:
            await run_in_threadpool(self._check, message.kind, said)
            functions = await run_in_threadpool(self._register, said)
        except ApiError as error:
            await self._refuse(websocket, error)
            return None
        except (redis.RedisError, DatabaseError, DBAPIError) as error:
            # The app dials in again.
            self._warn(error)
            return None
        line = _Line(websocket, self._about(said, functions, websocket), mark_of(said.auth_data.session_token))
        self._lines[said.connection_id] = line
        ready = wire.ConnectionReady(
            heartbeat_interval=f"{_HEARTBEAT_S}s",
            extend_lease_interval=f"{extend_every_s(self.channel.lease_s)}s",
            status_interval="0s",
        )
        await line.send(wire.GATEWAY_CONNECTION_READY, ready)
        if not said.worker_manual_readiness_ack:
            line.about.status = Status.READY
        await self._report(line)
        return line

    def _check(self, kind: wire.Kind, said: wire.WorkerConnect) -> None:
        token = said.auth_data.session_token
        expected = kind == wire.WORKER_CONNECT and self.channel.presence.is_expected(said.connection_id, token)
        if not expected:
            raise ApiError(
                401, "begin with POST /v0/connect/start, and show its token", code="connect_authentication_failed"
            )

    def _register(self, said: wire.WorkerConnect) -> list[int]:
        """Register what a connection serves; gives how many functions each app has."""
        counts = []
        for app in said.apps:
            try:
                functions = json.loads(app.functions or b"[]")
            except ValueError as error:
                raise ApiError(400, f"functions of {app.app_name}: {error}", code="config_invalid") from error
            given = registration.read(
                {
                    "appName": app.app_name,
                    "appVersion": app.app_version or None,
                    "deployType": apps.CONNECT,
                    "sdk": f"{_language(said)}:v{said.sdk_version.removeprefix('v')}",
                    "framework": said.framework or None,
                    "platform": said.platform or None,
                    "functions": functions,
                }
            )
            registration.register(self._server, given, method=apps.CONNECT)
            counts.append(len(given.functions))
        return counts

    def _about(self, said: wire.WorkerConnect, functions: list[int], websocket: WebSocket) -> Connection:
        now = self._server.runtime.clock.now()
        return Connection(
            id=said.connection_id,
            gateway_id=self.id,
            instance_id=said.instance_id,
            address=websocket.client.host if websocket.client else "",
            apps=[
                ServedApp(app.app_name, app.app_version or None, count)
                for app, count in zip(said.apps, functions, strict=True)
            ],
            most=said.max_worker_concurrency if said.max_worker_concurrency > 0 else _MOST_CALLS,
            sdk=_language(said),
            sdk_version=said.sdk_version,
            platform=said.platform,
            cpu_cores=said.system_attributes.cpu_cores,
            mem_bytes=said.system_attributes.mem_bytes,
            os=said.system_attributes.os,
            connected_at=now,
            heard_at=now,
        )

    async def _refuse(self, websocket: WebSocket, error: ApiError) -> None:
        logger.warning("An app that dialled in is refused: %s", error, extra={"action": "connect_refused"})
        await _send(websocket, wire.SYNC_FAILED, wire.SystemError(code=error.code, message=str(error)))
        await websocket.close(_REFUSED)

    async def _listen(self, line: _Line) -> None:
        while True:
            message = await asyncio.wait_for(_receive(line.websocket), ALIVE_S)
            try:
                await self._take(line, message)
            except redis.RedisError as error:
                # What it said is not confirmed, so the app says it again.
                self._warn(error)

    async def _take(self, line: _Line, message: wire.Message) -> None:
        if message.kind == wire.WORKER_HEARTBEAT:
            await line.send(wire.GATEWAY_HEARTBEAT)
            await self._report(line)
        elif message.kind == wire.WORKER_READY:
            line.about.status = Status.READY
            await self._report(line)
        elif message.kind == wire.WORKER_PAUSE:
            line.about.status = Status.DRAINING
            await self._report(line)
        elif message.kind == wire.WORKER_REQUEST_ACK:
            await self._tell(wire.RequestAck.FromString(message.payload).request_id, Told.TAKEN)
        elif message.kind == wire.WORKER_REQUEST_EXTEND_LEASE:
            await self._extend(line, wire.ExtendLease.FromString(message.payload))
        elif message.kind == wire.WORKER_REPLY:
            await self._take_reply(line, message.payload)

    async def _extend(self, line: _Line, asked: wire.ExtendLease) -> None:
        """Let an app go on with a call that somebody still waits for; let it stop otherwise."""
        wanted = await run_in_threadpool(self.channel.is_wanted, asked.request_id)
        if wanted:
            line.calls[asked.request_id] = self._time()
            await self._tell(asked.request_id, Told.WORKING)
        else:
            line.calls.pop(asked.request_id, None)
        answer = wire.ExtendLeaseAck(
            request_id=asked.request_id,
            account_id=asked.account_id,
            env_id=asked.env_id,
            app_id=asked.app_id,
            function_slug=asked.function_slug,
            new_lease_id=ids.new(self._server.runtime.clock.now()) if wanted else None,
        )
        await line.send(wire.WORKER_REQUEST_EXTEND_LEASE_ACK, answer)

    async def _take_reply(self, line: _Line, payload: bytes) -> None:
        request_id = wire.Reply.FromString(payload).request_id
        await self.take_answer(request_id, payload)
        line.calls.pop(request_id, None)
        await line.send(wire.WORKER_REPLY_ACK, wire.ReplyAck(request_id=request_id))

    async def take_answer(self, request_id: str, payload: bytes) -> None:
        """Give an answer to the worker that waits for it, if one does."""
        if await run_in_threadpool(self.channel.is_wanted, request_id):
            await self._tell(request_id, Told.ANSWERED, payload)

    async def _report(self, line: _Line) -> None:
        runtime = self._server.runtime
        line.about.heard_at = runtime.clock.now()
        # A connection that was begun with a key is used for as long as it is there: its app dials in with it again.
        names = " and ".join(app.id for app in line.about.apps)
        runtime.signing_keys.note_marked(line.mark, f"app {names}")
        await run_in_threadpool(self.channel.presence.report, line.about)

    async def _let_go(self, line: _Line, reason: str) -> None:
        """Forget a connection, and say that it is not to be called."""
        self._lines.pop(line.about.id, None)
        about = line.about
        paused = "GATEWAY_DRAINING" if self.closing else "WORKER_SHUTDOWN"
        about.reason = paused if about.status is Status.DRAINING else reason
        about.status, about.ended_at = Status.DISCONNECTED, self._server.runtime.clock.now()
        try:
            await run_in_threadpool(self.channel.presence.report, about)
        except redis.RedisError as error:
            self._warn(error)

    # The end

    def drain(self, timeout_s: float) -> None:
        """Send apps to other gateways, and let the calls that they have come to an end; from another thread.

        Args:
            timeout_s: how long that may take.
        """
        self.closing = True
        if self._loop is not None and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._drain(timeout_s), self._loop).result(timeout_s + _CLOSE_S)

    async def _drain(self, timeout_s: float) -> None:
        give_up_at = self._time() + timeout_s
        for line in list(self._lines.values()):
            line.about.status = Status.DRAINING
            try:
                await self._report(line)
                await asyncio.wait_for(line.send(wire.GATEWAY_CLOSING), _CLOSE_S)
            except (redis.RedisError, RuntimeError, TimeoutError, WebSocketDisconnect) as error:
                logger.debug("Connection %s was not told that the gateway ends: %s", line.about.id, error)
        while any(line.calls for line in self._lines.values()) and self._time() < give_up_at:
            await asyncio.sleep(0.05)

    def end(self) -> None:
        """Take no more calls; waits until none is being taken."""
        self.closing = True
        self._ended.set()
        try:
            self.channel.wake(self.id)
        except redis.RedisError as error:
            self._warn(error)
        self._taking.join(_CLOSE_S)

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    def _warn(self, error: Exception) -> None:
        logger.warning(
            "The gateway's Redis or database does not answer (%s): apps that have dialled in wait.",
            error,
            extra={"action": "gateway_failed"},
        )


def _language(said: wire.WorkerConnect) -> str:
    return said.sdk_language.removeprefix("inngest-")


async def _close(websocket: WebSocket) -> None:
    try:
        await asyncio.wait_for(websocket.close(_GOING_AWAY), _CLOSE_S)
    except (RuntimeError, TimeoutError):
        logger.debug("A connection was closed without a word: its app does not read")
