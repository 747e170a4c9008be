"""Apps that dial in: on the official SDK, and one that says what the test wants it to say."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import inngest as official
from inngest.connect import ConnectionState, connect
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as dial

from inngest_celery.drivers.connect import wire_pb2 as wire
from tests.waiting import wait_until

PROTOCOL = "v0.connect.inngest.com"


@contextmanager
def dialled_in(client: official.Inngest, functions: list[Any], **options: Any) -> Iterator[Any]:
    """Have the official SDK serve functions over a connection meanwhile; gives the connection."""
    made = threading.Event()
    given: list[Any] = []

    async def serve() -> None:
        given.append(connect([(client, functions)], **options))
        made.set()
        await given[0].start()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert made.wait(30)
    [connection] = given
    wait_until(lambda: connection.get_state() is ConnectionState.ACTIVE, 30, "the connection")
    try:
        yield connection
    finally:
        connection._close()
        thread.join(30)
        assert not thread.is_alive()


class Dialler:
    """An app that dials in by hand."""

    def __init__(self, url: str) -> None:
        self.url = url
        answer = httpx.post(f"{url}/v0/connect/start", content=wire.StartRequest().SerializeToString())
        assert answer.status_code == 200, answer.text
        self.given = wire.StartResponse.FromString(answer.content)
        self._open = ExitStack()
        dialled = dial(self.given.gateway_endpoint, subprotocols=[PROTOCOL])  # type: ignore[list-item]
        self.socket: ClientConnection = self._open.enter_context(dialled)
        assert self.hear().kind == wire.GATEWAY_HELLO

    def say(self, kind: wire.Kind, message: Any = None) -> None:
        payload = b"" if message is None else message.SerializeToString()
        self.socket.send(wire.Message(kind=kind, payload=payload).SerializeToString())

    def hear(self, timeout: float = 20) -> wire.Message:
        said = self.socket.recv(timeout)
        assert isinstance(said, bytes)
        return wire.Message.FromString(said)

    def introduce(self, *, token: str | None = None, retries: int = 1, **said: Any) -> wire.Message:
        """Say what it serves: a function ``shop-fn``. Gives the gateway's answer."""
        runtime = {"type": "ws", "url": "wss://connect?fnId=shop-fn&stepId=step"}
        step = {"id": "step", "name": "step", "runtime": runtime, "retries": {"attempts": retries}}
        function = {"id": "shop-fn", "name": "fn", "triggers": [{"event": "shop/a"}], "steps": {"step": step}}
        app = wire.App(app_name="shop", functions=json.dumps([function]).encode())
        given = {
            "connection_id": self.given.connection_id,
            "instance_id": "by-hand",
            "auth_data": wire.AuthData(session_token=self.given.session_token if token is None else token),
            "apps": [app],
            "sdk_language": "go",
            "sdk_version": "v0.1.0",
            **said,
        }
        self.say(wire.WORKER_CONNECT, wire.WorkerConnect(**given))
        return self.hear()

    def take_call(self) -> wire.ExecutorRequest:
        """Wait for a call, and say that it is taken."""
        message = self.hear()
        assert message.kind == wire.GATEWAY_EXECUTOR_REQUEST, message
        request = wire.ExecutorRequest.FromString(message.payload)
        self.say(wire.WORKER_REQUEST_ACK, wire.RequestAck(request_id=request.request_id))
        return request

    def extend(self, request: wire.ExecutorRequest) -> wire.ExtendLeaseAck:
        """Say that it is still at it."""
        asked = wire.ExtendLease(request_id=request.request_id, lease_id=request.lease_id)
        self.say(wire.WORKER_REQUEST_EXTEND_LEASE, asked)
        answer = self.hear()
        assert answer.kind == wire.WORKER_REQUEST_EXTEND_LEASE_ACK, answer
        return wire.ExtendLeaseAck.FromString(answer.payload)

    def close(self) -> None:
        self._open.close()


def reply(request: wire.ExecutorRequest, output: Any) -> wire.Reply:
    """The function's result, as an answer to a call."""
    return wire.Reply(
        request_id=request.request_id,
        status=wire.DONE,
        body=json.dumps(output).encode(),
        sdk_version="go:v0.1.0",
        request_version=2,
    )
