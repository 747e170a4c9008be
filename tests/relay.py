"""A way to a server that can fall silent, where connections stay open and nothing comes back, or cut one in the act."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit, urlunsplit

_PORTS = {"amqp": 5672, "redis": 6379, "postgresql+psycopg": 5432, "mysql+pymysql": 3306}


class Relay:
    """Passes on what a broker or database and its clients say.

    Args:
        url: the server's.
        silent: whether it begins as a black hole.

    Attributes:
        url: the server's, by this way.
        cuts: how many connections were cut.
    """

    def __init__(self, url: str, *, silent: bool = False) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._target = (parts.hostname, parts.port or _PORTS[parts.scheme])
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"))
        self._talks = threading.Event()
        self._last_words: bytes | None = None
        self._forward = True
        self.cuts = 0
        self._sockets: list[socket.socket] = [self._listener]
        if not silent:
            self._talks.set()
        self._start(self._take)

    def silence(self) -> None:
        """Pass nothing on any more."""
        self._talks.clear()

    def cut_at(self, words: bytes, *, forward: bool) -> None:
        """Cut the connection on which a client says this next, right after or right before the server hears it."""
        self._last_words, self._forward = words, forward

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
                if self._last_words is not None and self._last_words in data:
                    self._last_words = None
                    self.cuts += 1
                    # First towards whoever waits for the answer, so that none slips through.
                    source.shutdown(socket.SHUT_RDWR)
                    if self._forward:
                        sink.sendall(data)
                    sink.shutdown(socket.SHUT_RDWR)
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
