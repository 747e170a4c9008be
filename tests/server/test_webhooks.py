"""Webhooks: signed as GitHub, Stripe and Standard Webhooks sign them, with real payloads; and what is refused."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

import inngest_celery as inngest
from inngest_celery.server.options import Options
from inngest_celery.settings import SettingsError, settings_of
from inngest_celery.store import schema
from tests.functions.bench import Bench
from tests.nursery import ROOT
from tests.server.stage import Stage, staged

pytestmark = pytest.mark.databases("sqlite")

PAYLOADS = ROOT / "examples" / "github" / "payloads" / "github_webhooks.json.gz"
SECRET = "whsec_" + base64.b64encode(b"a secret of this test").decode()
WEBHOOKS = {
    "github": {"provider": "github", "secret": "s", "name": '"github/" + headers["x-github-event"]'},
    "stripe": {"provider": "stripe", "secret": "s", "name": '"stripe/" + body.type'},
    "standard": {"provider": "standard", "secret": SECRET, "transform": f"{__name__}.to_events"},
    "open": {},
    "picky": {"name": "body.wanted ? 'shop/wanted' : null"},
}


def to_events(body: Any, headers: dict[str, str], query: dict[str, str]) -> Any:
    if body == "raise":
        raise ValueError("not this one")
    if body == "nothing":
        return None
    if body == "nonsense":
        return {"data": {}}
    return [{"name": "shop/first", "data": body}, {"name": "shop/second", "data": {"query": query}}]


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(database_url, inngest_webhooks=WEBHOOKS)

    @bench.function(trigger=[inngest.TriggerEvent(event="github/*"), inngest.TriggerEvent(event="shop/*")])
    def fn(ctx: inngest.ContextSync) -> str:
        return ctx.event.name

    yield bench
    bench.check()
    bench.close()


def github(stage: Stage, body: bytes, *, secret: str = "s", delivery: str = "d1", event: str = "push") -> Any:
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": signature, "X-GitHub-Delivery": delivery, "X-GitHub-Event": event}
    return stage.http.post("/w/github", content=body, headers=headers)


def stripe(stage: Stage, body: bytes, *, age_s: int = 0) -> Any:
    at = str(stage.bench.now // 1000 - age_s)
    signature = hmac.new(b"s", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={at},v1=00,v1={signature}"}
    return stage.http.post("/w/stripe", content=body, headers=headers)


def standard(stage: Stage, body: Any, *, message_id: str = "msg_1", age_s: int = 0, **query: str) -> Any:
    text, at = json.dumps(body).encode(), str(stage.bench.now // 1000 - age_s)
    signed = f"{message_id}.{at}.".encode() + text
    digest = base64.b64encode(hmac.new(b"a secret of this test", signed, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": f"v1a,x v1,{digest}"}
    return stage.http.post("/w/standard", content=text, headers=headers, params=query)


def names(stage: Stage) -> list[str]:
    stage.drain()
    return [row.name for row in stage.bench.rows(schema.event) if not row.name.startswith("inngest/")]


def test_real_payloads_of_github(stage: Stage) -> None:
    kinds = json.loads(gzip.decompress(PAYLOADS.read_bytes()))[:20]
    payloads = [(kind["name"], kind["examples"][0]) for kind in kinds]
    for number, (kind, payload) in enumerate(payloads):
        answer = github(stage, json.dumps(payload).encode(), delivery=f"d{number}", event=kind)
        assert answer.status_code == 200, answer.text
    assert names(stage) == [f"github/{kind}" for kind, _ in payloads]
    assert len(stage.bench.inline.runs.list(limit=100)) == len(payloads)


def test_what_is_delivered_again_starts_nothing_new(stage: Stage) -> None:
    for _ in range(2):
        assert github(stage, b'{"ref": "main"}').status_code == 200
    assert names(stage) == ["github/push"] * 2
    assert len(stage.bench.inline.runs.list()) == 1


def test_stripe_and_standard_webhooks(stage: Stage) -> None:
    assert stripe(stage, b'{"id": "evt_1", "type": "invoice.paid"}').status_code == 200
    assert standard(stage, {"n": 1}, who="me").status_code == 200
    assert standard(stage, "nothing").json()["ids"] == []
    assert names(stage) == ["stripe/invoice.paid", "shop/first", "shop/second"]
    first, second = (event for event in stage.bench.rows(schema.event) if event.name.startswith("shop/"))
    assert (first.external_id, second.external_id) == ("standard:msg_1", "standard:msg_1:1")
    assert json.loads(second.data) == {"query": {"who": "me"}}


def test_without_a_provider(stage: Stage) -> None:
    assert stage.http.get("/w/open").status_code == 200
    assert stage.http.post("/w/open", json=[1, 2]).status_code == 200
    assert stage.http.post("/w/picky", json={"wanted": True}).status_code == 200
    assert stage.http.post("/w/picky", json={"wanted": False}).json()["ids"] == []
    assert names(stage) == ["webhook/open", "shop/wanted"]


def test_what_is_refused_stores_nothing(stage: Stage) -> None:
    forged = github(stage, b"{}", secret="other")
    assert (forged.status_code, forged.json()["code"]) == (401, "signature_invalid")
    assert stage.http.post("/w/github", json={}).status_code == 401
    assert stage.http.post("/w/stripe", json={}).status_code == 401
    assert stage.http.post("/w/standard", json={}).status_code == 401
    for late in (stripe(stage, b"{}", age_s=301), standard(stage, {}, age_s=-301)):
        assert (late.status_code, late.json()["code"]) == (401, "signature_expired")
    assert stage.http.post("/w/unknown", json={}).status_code == 404
    assert stage.http.get("/w/unknown").status_code == 404
    assert stage.http.post("/w/open", content=b"{").status_code == 400
    failed = standard(stage, "raise")
    assert (failed.status_code, failed.json()["code"]) == (422, "transform_failed")
    assert "not this one" in failed.json()["error"]
    assert standard(stage, "nonsense").status_code == 422
    assert names(stage) == []


def test_a_key_is_asked_for_where_nothing_is_signed(bench: Bench) -> None:
    options = Options(development=False, discovery=False, poll_interval=0, event_keys=frozenset({"secret"}))
    with staged(bench, options) as stage:
        assert stage.http.post("/w/open", json={}).status_code == 401
        assert stage.http.post("/w/open?key=secret", json={}).status_code == 200
        assert github(stage, b"{}").status_code == 200, "signed by whoever may"
        stage.drain()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"a": {"provider": "github"}}, "give the secret"),
        ({"a": {"provider": "other", "secret": "s"}}, "webhooks.a.provider"),
        ({"a": {"name": "body.", "transform": None}}, "webhooks.a"),
        ({"a": {"name": "body.x", "transform": "a.b"}}, "not both"),
        ("{", "no JSON"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: Any, told: str) -> None:
    app = Celery(set_as_current=False)
    app.conf.inngest_webhooks = given
    with pytest.raises(SettingsError, match=told):
        settings_of(app)


def test_the_environment_gives_them_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_WEBHOOKS", '{"a": {"name": "body.x"}}')
    assert settings_of(Celery(set_as_current=False)).webhooks["a"].name == "body.x"
