"""Other people's HTTP APIs, on this machine: what the examples call in place of vendors, banks and models."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias

Answer: TypeAlias = tuple[int, Mapping[str, str], object]
"""Status, headers, and what is the body as JSON."""


@contextmanager
def serving(answer: Callable[[str, str, bytes], Answer], port: int = 0) -> Iterator[str]:
    """Serve meanwhile, and give the address.

    Args:
        answer: gives the answer to a request: its method, its path with the query, and its body.
        port: any free one, if it is 0.
    """

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            request = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, headers, body = answer(self.command, self.path, request)
            text = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(text)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the examples tell what happens."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
