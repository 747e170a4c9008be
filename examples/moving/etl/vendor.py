"""The vendor: an export takes its time, and then comes in pages, of which one fails the first time."""

from __future__ import annotations

import json
import os
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.error import HTTPError

PAGES, LINES, LOOKS = 4, 5, 3


def begin_export(source: str) -> str:
    """Ask for an export; give its id."""
    return str(_call("POST", f"/exports/{source}")["id"])


def is_ready(export: str) -> bool:
    """Tell whether an export can be fetched."""
    return bool(_call("GET", f"/ready/{export}")["ready"])


def lines_of(export: str, page: int) -> list[dict[str, Any]]:
    """Fetch a page.

    Raises:
        ConnectionError: not this time.
    """
    lines: list[dict[str, Any]] = _call("GET", f"/pages/{export}/{page}")["lines"]
    return lines


def _call(method: str, path: str) -> Any:
    request = urllib.request.Request(os.environ["VENDOR_URL"] + path, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)
    except HTTPError as error:
        raise ConnectionError(f"the vendor answers {error.code}") from error


@contextmanager
def vendor() -> Iterator[tuple[str, Counter[str]]]:
    """Serve a vendor, for tests; give its address, and how often each of its pages was asked for."""
    asked: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked[self.path] += 1
            self._answer(200, {"id": f"{self.path.rsplit('/', 1)[1]}-{asked[self.path]}"})

        def do_GET(self) -> None:
            asked[self.path] += 1
            kind, _, rest = self.path[1:].partition("/")
            if kind == "ready":
                self._answer(200, {"ready": asked[self.path] >= LOOKS})
                return
            export, page = rest.split("/")
            if page == "1" and asked[self.path] == 1:
                self._answer(503, {})
                return
            numbers = range(int(page) * LINES, (int(page) + 1) * LINES)
            self._answer(200, {"lines": [{"number": f"{export}/{each}", "cents": each} for each in numbers]})

        def _answer(self, status: int, body: object) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
