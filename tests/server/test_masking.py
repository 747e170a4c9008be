"""What apps on other SDKs give is masked before it is stored, by whatever way it comes in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functions.bench import Bench
from tests.server.scripted import Scripted, done, op, steps
from tests.server.stage import Stage
from tests.server.test_endpoints import END, Endpoint

pytestmark = pytest.mark.databases("sqlite")
CARD, EMAIL, WHY = "4242424242424242", "ada.l@example.org", "planted-reason"
RULES = [
    {"pattern": "card_number", "at": "store"},
    {"pattern": "email", "at": "store"},
    {"path": "error.message", "at": "store"},
]


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(database_url, inngest_masking=RULES)
    yield bench
    bench.close()


def stored(bench: Bench) -> list[str]:
    """Give what is in the database of what must not be there."""
    found = bench.dump()
    return [each for each in (CARD, EMAIL, WHY) if each in found]


def test_an_app_that_is_called(stage: Stage, bench: Bench) -> None:
    error = {"name": "E", "message": WHY, "stack": f"E: {WHY}"}
    app = Scripted(
        steps(op("StepRun", "a", data={"to": EMAIL})),
        steps(op("InvokeFunction", "b", opts={"function_id": "shop-fn", "payload": {"data": {"to": EMAIL}}})),
        done({"name": "E", "message": WHY, "stack": f"E: {WHY}"}, 400, **{"x-inngest-no-retry": "true"}),
        steps(op("StepFailed", "c", error=error)),
        done({"card": int(CARD)}),
    )
    with app.registered(stage, retries=0):
        bench.finish(stage.start("shop/a", to=EMAIL, card=CARD))
    assert [call["event"]["data"].get("to") for call in app.calls][:1] == ["[masked]"]
    assert len(app.calls) > 2
    assert stored(bench) == []


def test_a_durable_endpoint(stage: Stage, bench: Bench) -> None:
    endpoint = Endpoint(stage)
    with endpoint.served():
        endpoint.begin()
        done_step: dict[str, Any] = op("StepRun", "a", data=EMAIL)
        assert endpoint.report(done_step).status_code == 200
        assert endpoint.report({**END, "data": {**END["data"], "body": f"to {EMAIL}"}}).status_code == 200
    assert bench.inline.runs.get(endpoint.run_id).ended
    assert stored(bench) == []


def test_signals_webhooks_and_calls(stage: Stage, bench: Bench) -> None:
    app = Scripted(
        steps(op("WaitForSignal", "a", opts={"signal": "go", "timeout": "1h"})),
        done("end"),
    )
    with app.registered(stage, retries=0):
        stage.start("shop/a", to=EMAIL)
        assert stage.http.post("/v1/signals", json={"signal": "go", "data": {"to": EMAIL}}).status_code == 200
        assert stage.http.post("/invoke/shop-fn", json={"data": {"to": EMAIL}}).status_code == 200
        key = {"data": {"to": EMAIL}, "idempotencyKey": "k"}
        called = [stage.http.post("/v2/apps/shop/functions/shop-fn/invoke", json=key) for _ in range(2)]
        stage.drain()
    assert {answer.status_code for answer in called} <= {200, 201}, called[-1].text
    assert json.loads(called[0].text)["data"] == json.loads(called[1].text)["data"], "the same call is the same run"
    assert stored(bench) == []
