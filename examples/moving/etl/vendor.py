"""The vendor: an export takes its time, and then comes in pages, of which one fails the first time."""

from __future__ import annotations

import json
import os
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError

from examples.serving import Answer, serving

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

    def answer(method: str, path: str, _body: bytes) -> Answer:
        asked[path] += 1
        if method == "POST":
            return 200, {}, {"id": f"{path.rsplit('/', 1)[1]}-{asked[path]}"}
        kind, _, rest = path[1:].partition("/")
        if kind == "ready":
            return 200, {}, {"ready": asked[path] >= LOOKS}
        export, page = rest.split("/")
        if page == "1" and asked[path] == 1:
            return 503, {}, {}
        numbers = range(int(page) * LINES, (int(page) + 1) * LINES)
        return 200, {}, {"lines": [{"number": f"{export}/{each}", "cents": each} for each in numbers]}

    with serving(answer) as address:
        yield address, asked
