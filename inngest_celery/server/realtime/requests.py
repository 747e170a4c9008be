"""What a client says over its WebSocket while it listens: that it wants to hear more, or less, or who is there.

``{"kind": "sub", "data": "<token>"}`` adds the topics of another token, ``{"kind": "unsub", "data": [{"channel": …,
"name": …}]}`` takes topics away. Both are answered in the same kind with the topics that were added or taken away, once
that is so; or with an error. ``{"kind": "ping"}`` is answered with ``pong``. All else is not looked at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from inngest_celery.server import bodies
from inngest_celery.server.errors import ApiError
from inngest_celery.server.realtime.hub import Hub
from inngest_celery.server.realtime.listener import End, Listener
from inngest_celery.server.realtime.topics import read_topics, topics_of_token, write_topics
from inngest_celery.server.state import Server
from inngest_celery.server.times import instant
from inngest_celery.worker.realtime import MAX_BYTES

MAX_LISTENED = 1000


@dataclass(frozen=True, slots=True)
class Requests:
    """Answers one client.

    Attributes:
        server: which clock and keys.
        hub: where it listens.
        listener: what it hears, and where answers go.
    """

    server: Server
    hub: Hub
    listener: Listener

    async def take(self, text: str) -> None:
        """Do what a message asks for."""
        if len(text) > MAX_BYTES:
            self.listener.end(End.TOO_LARGE)
            return
        try:
            said: Any = bodies.json_of(text.encode())
        except ApiError:
            return
        match said:
            case {"kind": "ping"}:
                self._say("pong", said.get("data"))
            case {"kind": "sub" | "unsub" as kind}:
                try:
                    self._say(kind, await self._change(kind, said.get("data")))
                except ApiError as error:
                    self._say(kind, {"error": str(error), "status": error.status, "code": error.code})

    async def _change(self, kind: str, data: object) -> object:
        if kind == "unsub":
            if not isinstance(data, list):
                raise ApiError(400, 'data is a list of topics: [{"channel": …, "name": …}]')
            gone = frozenset(read_topics(data)) & self.listener.topics
            self.hub.remove(self.listener, gone)
            return write_topics(gone)
        if not isinstance(data, str):
            raise ApiError(400, "data is a token for the topics to add: POST /v1/realtime/token gives one to apps")
        new = topics_of_token(self.server, data) - self.listener.topics
        if len(new) + len(self.listener.topics) > MAX_LISTENED:
            message = f"one connection may listen to {MAX_LISTENED} topics; take topics away, or open another one"
            raise ApiError(400, message, code="too_many_topics")
        await self.hub.add(self.listener, new)
        return write_topics(new)

    def _say(self, kind: str, data: object) -> None:
        said = {"kind": kind, "data": data, "created_at": instant(self.server.runtime.clock.now())}
        self.listener.offer(json.dumps(said, separators=(",", ":")))
