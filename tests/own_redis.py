"""A Valkey of a test's own, to be frozen, killed and started anew without what it knew."""

from __future__ import annotations

from pathlib import Path

import psutil
import redis

from inngest_celery.embedded import Embedded
from tests.waiting import wait_until


class OwnRedis:
    """Keeps nothing on disk. Its address stays the same."""

    def __init__(self, directory: Path) -> None:
        self._stack = Embedded(directory, persist=False)
        self._stack.start()
        self.url = self._stack.broker_url

    def freeze(self) -> None:
        """Let it take connections, and answer nothing."""
        self._server().suspend()

    def thaw(self) -> None:
        """Let it go on, with what it knew."""
        self._server().resume()

    def kill(self) -> None:
        """End it at once: nobody can connect, and what it knew is lost."""
        self._server().kill()
        wait_until(lambda: not self._stack.running, message="the death of the server")

    def start(self) -> None:
        """Start it again after :meth:`kill`."""
        self._stack.start()
        assert self._stack.broker_url == self.url, "somebody else has taken its port"

    def commands(self) -> int:
        """Give how many commands it has carried out, those within scripts too."""
        with redis.Redis.from_url(self.url) as client:
            return int(client.info("stats")["total_commands_processed"])

    def close(self) -> None:
        if self._stack.running:
            self._server().resume()
        self._stack.stop()

    def _server(self) -> psutil.Process:
        keeper = self._stack._keeper
        assert keeper is not None
        (server,) = psutil.Process(keeper.pid).children()
        return server
