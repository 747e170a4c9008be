"""Three vendors with slow HTTP APIs, on this machine. As a program it serves them, for ``inngest-celery dev``."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from examples.serving import Answer, serving

PORTS = {"north": 8101, "east": 8102, "south": 8103}
PAGES = 4
_ARTICLES_ON_A_PAGE = 25


@dataclass
class Vendor:
    """One vendor: how it behaves, and what it has seen.

    Attributes:
        latency: seconds that an answer takes.
        at_once: requests that it serves at a time; to more it says 429.
        pause: what ``Retry-After`` says, in whole seconds.
        busy_pages: pages whose first request is answered with 429, however little there is to do.
        broken_pages: pages that are never answered but with 500.
        refused: when each page was answered with 429, and when it was asked for next: (page, then, next).
    """

    name: str
    latency: float = 0.1
    at_once: int = 2
    pause: int = 1
    busy_pages: set[int] = field(default_factory=set)
    broken_pages: frozenset[int] = frozenset()
    requests: int = 0
    failed: int = 0
    most_at_once: int = 0
    refused: list[tuple[int, float, float]] = field(default_factory=list)
    _now: int = 0
    _refused_at: dict[int, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, _method: str, path: str, _body: bytes) -> Answer:
        """Answer a request for a page."""
        [page] = parse_qs(urlsplit(path).query)["page"]
        return self.answer(int(page))

    def answer(self, page: int) -> Answer:
        """Give status, headers and body for a page of its stock."""
        with self._lock:
            self.requests += 1
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            busy = self._now > self.at_once or page in self.busy_pages
            if page in self._refused_at:
                self.refused.append((page, self._refused_at.pop(page), time.monotonic()))
            if busy:
                self.busy_pages.discard(page)
                self._refused_at[page] = time.monotonic()
        try:
            if busy:
                return 429, {"retry-after": str(self.pause)}, {"error": "too many requests"}
            time.sleep(self.latency)
            if page in self.broken_pages:
                with self._lock:
                    self.failed += 1
                return 500, {}, {"error": "something went wrong"}
            return 200, {}, {f"{self.name}-{page}-{number}": 10 for number in range(_ARTICLES_ON_A_PAGE)}
        finally:
            with self._lock:
                self._now -= 1


def the_three() -> list[Vendor]:
    """One that is well, one that is busy now and then, and one with a page that it can never give."""
    return [
        Vendor("north"),
        Vendor("east", latency=0.2, busy_pages={2, 3}),
        Vendor("south", latency=0.3, broken_pages=frozenset({4})),
    ]


@contextmanager
def running(vendors: list[Vendor], ports: dict[str, int] | None = None) -> Iterator[str]:
    """Serve meanwhile, and give the addresses by name, as JSON."""
    with ExitStack() as stack:
        addresses = {
            vendor.name: stack.enter_context(serving(vendor.serve, (ports or {}).get(vendor.name, 0)))
            for vendor in vendors
        }
        yield json.dumps(addresses)


if __name__ == "__main__":
    with running(the_three(), PORTS) as served:
        print(f"{served}; Ctrl-C ends it", flush=True)
        threading.Event().wait()
