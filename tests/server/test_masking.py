"""What apps on other SDKs give is masked before it is stored, by whatever way it comes in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import inngest as official
import pytest

from inngest_celery.flow.gate import connect as connect_to_redis
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.masking.generated import RULES as PATTERNS
from tests.masking.generated import some
from tests.server.dialling import dialled_in
from tests.server.scripted import Scripted, done, op, steps
from tests.server.stage import Stage, staged
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


@pytest.mark.brokers("valkey")
def test_an_app_that_dials_in(database_url: str, redis_url: str) -> None:
    """What it is given and gives goes through Redis, and is not left there either."""
    rules = [{**rule, "at": "store"} for rule in PATTERNS]
    bench = Bench(database_url, inngest_redis_url=redis_url, inngest_masking=rules)
    with staged(bench) as stage:
        client = stage.client()
        given = some(3, secrets=5)

        @client.create_function(fn_id="fn", trigger=official.TriggerEvent(event="test/go"), retries=0)
        def fn(ctx: official.ContextSync) -> Any:
            payload = given[int(str(ctx.event.data["number"]))]
            assert payload.found_in(json.dumps(ctx.event.data, ensure_ascii=False)) == []
            ctx.step.run("give", lambda: payload.data)
            ctx.step.send_event("send", official.Event(name="test/other", data=payload.data))
            try:
                ctx.step.run("break", _refuse, payload.data)
            except official.StepError:
                return payload.data
            raise AssertionError("it did not break")

        with dialled_in(client, [fn]):
            for number, payload in enumerate(given):
                stage.output("test/go", number=number, **payload.data)
        found = bench.dump()
        with connect_to_redis(redis_url) as redis:
            redis.config_set("rdbcompression", "no")
            found += "".join(f"{key!r} {redis.dump(key)!r}" for key in redis.scan_iter())
    runtime_of(bench.app).channel.close()
    bench.close()
    assert "[masked]" in found
    assert [secret for payload in given for secret in payload.found_in(found)] == []


def _refuse(data: Any) -> None:
    raise LookupError(f"there is no {data}")
