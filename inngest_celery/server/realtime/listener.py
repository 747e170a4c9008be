"""One who listens, and what waits to be sent to it."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum

from inngest_celery.worker.realtime_tokens import Topic

# Several of the largest messages, or very many small ones.
_MAX_MESSAGES = 1000
_MAX_CHARACTERS = 4 * 1024 * 1024


class End(Enum):
    """Why nothing more comes: the WebSocket's closing code, and what to say."""

    SLOW = (1008, "You read more slowly than messages come. Listen again, or to fewer topics.")
    STOPPED = (1012, "The server stops. Listen again.")
    TOO_LARGE = (1009, "You have sent a message that is too large. Listen again, and send less.")
    LATE = (1000, "This has been open for long enough. Listen again.")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def reason(self) -> str:
        return self.value[1]


class Listener:
    """Keeps what was not sent yet, up to a bound: who reads too slowly is cut off, and costs no more memory.

    Attributes:
        topics: what it listens to; the hub's to change.
        told: what the onlookers have told of these last.
    """

    def __init__(self) -> None:
        self.topics: set[Topic] = set()
        self.told: dict[Topic, int] = {}
        self._messages: deque[str] = deque()
        self._characters = 0
        self._filled = asyncio.Event()
        self._ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def offer(self, message: str) -> None:
        """Keep a message for it."""
        if self._ended.done():
            return
        if len(self._messages) >= _MAX_MESSAGES or self._characters + len(message) > _MAX_CHARACTERS:
            self.end(End.SLOW)
            return
        self._messages.append(message)
        self._characters += len(message)
        self._filled.set()

    async def take(self) -> str:
        """Give the next message, as soon as there is one."""
        while not self._messages:
            self._filled.clear()
            await self._filled.wait()
        message = self._messages.popleft()
        self._characters -= len(message)
        return message

    def end(self, why: End) -> None:
        """Tell that nothing more comes."""
        if not self._ended.done():
            self._ended.set_result(why)

    async def ended(self) -> End:
        """Give why nothing more comes, as soon as that is so."""
        return await asyncio.shield(self._ended)
