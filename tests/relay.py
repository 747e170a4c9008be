"""A way to a broker that can fall silent: connections are taken, or stay open, and nothing comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit, urlunsplit


class Relay:
    """Passes on what a broker and its clients say.

    Args:
        url: the broker's.
        silent: whether it begins as a black hole.

    Attributes:
        url: the broker's, by this way.
    """

    def __init__(self, url: str, *, silent: bool = False) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._target = (parts.hostname, parts.port or {"amqp": 5672, "redis": 6379}[parts.scheme])
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"))
        self._talks = threading.Event()
        self._sockets: list[socket.socket] = [self._listener]
        if not silent:
            self._talks.set()
        self._start(self._take)

    def silence(self) -> None:
        """Pass nothing on any more."""
        self._talks.clear()

    def close(self) -> None:
        self._talks.set()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _start(self, target: object, *args: object) -> None:
        threading.Thread(target=target, args=args, daemon=True).start()  # type: ignore[arg-type]

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                self._start(self._pass_on, client, server)
                self._start(self._pass_on, server, client)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._talks.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
