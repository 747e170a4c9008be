"""What is no request is refused, in the official shape, and nothing is stored of it."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

from inngest_celery.store import schema
from tests.server.stage import Stage

pytestmark = pytest.mark.databases("sqlite", "postgres")

RUN = "01HF7YAT000000000000000001"
SLUG = "query($x: String!) { functionBySlug(query: {functionSlug: $x}) { id } }"
# Everything that takes JSON, with what would be right.
BODIES: dict[str, Any] = {
    "/e/key": {"name": "shop/a", "data": {"x": "HERE"}},
    "/invoke/shop-fn": {"data": {"x": "HERE"}},
    "/fn/register": {"appName": "HERE", "url": "http://localhost:1/api", "functions": []},
    "/v1/checkpoint": {
        "run_id": RUN,
        "event": {"data": {"domain": "http://x", "method": "GET", "path": "/", "body": "HERE"}},
    },
    f"/v1/checkpoint/{RUN}/steps": {"steps": [{"op": "StepRun", "id": "a", "data": "HERE"}]},
    f"/v1/checkpoint/{RUN}/async": {"qi_id": f"{RUN}.start", "steps": [{"op": "StepRun", "id": "a", "data": "HERE"}]},
    "/v1/signals": {"signal": "HERE"},
    "/v1/cancellations": {"app_id": "HERE", "function_id": "fn", "started_before": "2020-01-01T00:00:00Z"},
    "/v2/events": {"name": "shop/a", "data": {"x": "HERE"}},
    "/v2/apps/shop/functions/fn/invoke": {"data": {"x": "HERE"}},
    f"/v2/runs/{RUN}/rerun": {"fromStep": {"stepId": "HERE"}},
    "/v0/gql": {"query": SLUG, "variables": {"x": "HERE"}},
}
WRONG = {
    "no JSON": b"{",
    "nothing": b"",
    "no UTF-8": b'"\xff\xfe"',
    "another type": b'"text"',
    "a number": b"7",
    "nested deeply": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "not a number": b"NaN",
    "a huge number": b"1" * 5000,
}
ADDRESSES = (
    *("/v1/runs/%00", "/v1/events?name=%00", "/v1/apps/%00/functions", "/w/%ff"),
    *("/v2/apps/a%00", "/v2/runs?appId=%00"),
)


def stored(stage: Stage) -> list[int]:
    tables = (schema.event, schema.run, schema.job, schema.step, schema.app, schema.cancellation)
    return [len(stage.bench.rows(table)) for table in tables]


def refused(answer: httpx.Response, path: str) -> None:
    told = answer.json()
    if path.startswith("/v2/"):
        assert told["errors"][0].keys() == {"code", "message"}
    else:
        assert told["error"]
        assert told["status"] == answer.status_code
        assert told["code"]


def post(stage: Stage, path: str, body: bytes | str) -> httpx.Response:
    return stage.http.post(path, content=body, headers={"content-type": "application/json"})


def test_a_body_that_cannot_be_read_is_refused(stage: Stage) -> None:
    before = stored(stage)
    for path in BODIES:
        for what, body in WRONG.items():
            if what == "nothing" and path.endswith("/rerun"):
                # From the beginning, that is.
                continue
            answer = post(stage, path, body)
            assert answer.status_code == 400, (path, what, answer.status_code, answer.text[:200])
            refused(answer, path)
    assert stored(stage) == before


def test_half_of_a_surrogate_pair_is_never_stored(stage: Stage) -> None:
    before = stored(stage)
    for path, right in BODIES.items():
        answer = post(stage, path, json.dumps(right).replace("HERE", r"\ud800"))
        if path == "/v0/gql":
            assert answer.json() == {"data": {"functionBySlug": None}}
            continue
        assert answer.status_code in (400, 404), (path, answer.text)
        refused(answer, path)
    assert stored(stage) == before


def test_nul_and_huge_numbers_end_in_no_error(stage: Stage) -> None:
    for path, right in BODIES.items():
        for value in (r'"\u0000"', "9" * 400, "1e400"):
            answer = post(stage, path, json.dumps(right).replace('"HERE"', value))
            assert answer.status_code < 500, (path, value, answer.text)
        # What was taken can be read.
        stage.http.get("/v1/events").raise_for_status()
        stage.http.get("/v2/runs?includeOutput=true").raise_for_status()
    stage.bench.advance(days=1)


def test_an_address_that_is_no_text_is_refused(stage: Stage) -> None:
    for path in ADDRESSES:
        answer = stage.http.get(path)
        assert answer.status_code == 400, (path, answer.text)
        refused(answer, path)


@pytest.mark.databases("sqlite")
def test_a_body_that_is_too_large_is_refused_before_it_is_sent(stage: Stage) -> None:
    port, size = httpx.URL(stage.url).port, 65 * 1024 * 1024
    for path in [*BODIES, "/w/shop", "/nowhere"]:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(head.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 413 "), (path, answer)
        refused(httpx.Response(413, content=answer.partition(b"\r\n\r\n")[2]), path)


@pytest.mark.databases("sqlite")
def test_a_body_whose_length_is_not_announced_is_counted(stage: Stage) -> None:
    sent = 0

    def parts() -> Any:
        nonlocal sent
        for _ in range(80):
            sent += 1
            yield b" " * 1024 * 1024

    try:
        answer = stage.http.post("/v2/events", content=parts(), headers={"content-type": "application/json"})
        assert answer.status_code == 413
        refused(answer, "/v2/events")
    except httpx.WriteError:
        # The answer was there, and the connection closed, while there was more to send.
        assert sent < 80
