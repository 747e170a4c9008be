"""Functions of an app on the official SDK: how soon a run starts and is seen to have ended, and steps a second."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figures import percentile
from benchmarks.remote_app import KEY, STEPS
from benchmarks.stacks import Stack
from tests.waiting import wait_until

_AUTH = {"Authorization": f"Bearer {KEY}"}


def remote(stack: Stack, *, lone: int, burst: int, say: Callable[[str], None]) -> dict[str, object]:
    """Measure apps that are called over HTTP, and apps that dial in.

    Returns:
        Steps a second, and milliseconds from an event's being sent to its run's first step, and to its output's being
        seen by a client that asks for it.
    """
    found: dict[str, object] = {}
    for way in ("http", "connect"):
        say(f"an app over {way}")
        with _server(stack) as server, _app(server, way), httpx.Client(base_url=server, headers=_AUTH) as http:
            for _ in range(5):
                _run(http)
            waits = [_run(http) for _ in range(lone)]
            for name, values in zip(("start", "seen"), zip(*waits, strict=True), strict=True):
                found[f"{way}_{name}_p50_ms"] = round(statistics.median(values), 1)
                found[f"{way}_{name}_p95_ms"] = round(percentile(values, 0.95), 1)
            found[f"{way}_steps_per_s"] = round(_burst(http, burst))
    return found


def _run(http: httpx.Client) -> tuple[float, float]:
    sent = time.time()
    [event_id] = _send(http, 1)
    output = _output(http, event_id)
    return (float(output) - sent) * 1000, (time.time() - sent) * 1000


def _burst(http: httpx.Client, count: int) -> float:
    began = time.time()
    for event_id in _send(http, count):
        _output(http, event_id)
    return count * STEPS / (time.time() - began)


def _send(http: httpx.Client, count: int) -> list[str]:
    answer = http.post("/e/bench", json=[{"name": "bench/five", "data": {}}] * count)
    answer.raise_for_status()
    ids: list[str] = answer.json()["ids"]
    return ids


def _output(http: httpx.Client, event_id: str) -> Any:
    def ended() -> Any:
        runs = http.get(f"/v1/events/{event_id}/runs").json()["data"]
        return [run["output"] for run in runs if run["status"] == "Completed"]

    return wait_until(ended, 120, f"the run of {event_id}", every=0.002)[0]


@contextmanager
def _server(stack: Stack) -> Iterator[str]:
    """A server with its worker, as ``inngest-celery start`` starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    main = "from inngest_celery.cli import main; main()"
    command = [sys.executable, "-c", main, "start", "--signing-key", KEY, "--event-key", "bench"]
    own = {"INNGEST_DATABASE_URL": stack.new_database(), "CELERY_BROKER_URL": stack.broker}
    own |= {"INNGEST_REDIS_URL": stack.notices, "INNGEST_ALLOW_PRIVATE_ADDRESSES": "1"}
    with _process([*command, "-p", str(port), "-l", "WARNING"], stack, own):
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/health")
        yield url


@contextmanager
def _app(server: str, way: str) -> Iterator[None]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.remote_app", server, "connect" if way == "connect" else str(port)]
    with _process(command, None, {}), httpx.Client(base_url=server, headers=_AUTH) as http:
        if way == "http":
            url = f"http://127.0.0.1:{port}/api/inngest"
            _wait_for(url)
            httpx.put(url, timeout=30).raise_for_status()
        wait_until(lambda: http.get("/v1/apps/bench/functions").json(), 60, "the app's registration", every=0.1)
        yield


@contextmanager
def _process(command: list[str], stack: Stack | None, env: dict[str, str]) -> Iterator[None]:
    directory = stack.directory if stack is not None else None
    path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        command, cwd=directory, env={**os.environ, "PYTHONPATH": path, **env}, stdin=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(url: str) -> None:
    def answers() -> bool:
        try:
            return httpx.get(url).status_code < 500
        except httpx.TransportError:
            return False

    wait_until(answers, 60, url, every=0.05)
