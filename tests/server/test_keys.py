"""With keys: calls are signed and checked, tokens asked for, and a key changed while apps still have the old one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import inngest as official
import pytest
from celery import Celery
from fastapi import FastAPI, Request, Response
from inngest import fast_api
from sqlalchemy.event import listen

from inngest_celery import ids
from inngest_celery.drivers.http.signing import bearer_of, canonical, is_signed, sign
from inngest_celery.server import sends, syncing
from inngest_celery.server.errors import ApiError
from inngest_celery.server.options import Options
from inngest_celery.server.state import Server
from inngest_celery.settings import SettingsError, settings_of
from inngest_celery.store import functions
from inngest_celery.worker import signing_keys
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.stage import Stage, staged
from tests.server.web import served

pytestmark = pytest.mark.databases("sqlite")

KEY = "signkey-prod-" + "0123456789abcdef" * 4
OLD_KEY = "signkey-prod-" + "fedcba9876543210" * 4
NO_RUN = "01HF7YAT000000000000000001"
STEP = {"id": "step", "name": "step", "runtime": {"type": "http", "url": "http://localhost:9/x"}}
OPTIONS = Options(development=False, discovery=False, poll_interval=0, event_keys=frozenset({"test"}))


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    # Apps of tests are in this machine's own network.
    bench = Bench(
        database_url,
        inngest_signing_key=KEY,
        inngest_signing_key_fallback=OLD_KEY,
        inngest_allow_private_addresses=True,
    )
    yield bench
    bench.close()


@pytest.fixture
def stage(bench: Bench) -> Iterator[Stage]:
    with staged(bench, OPTIONS) as stage:
        yield stage


def app_of(client: official.Inngest) -> FastAPI:
    @client.create_function(fn_id="fn", trigger=official.TriggerEvent(event="shop/a"))
    async def fn(ctx: official.Context) -> Any:
        async def body() -> str:
            return "signed"

        return await ctx.step.run("step", body)

    app = FastAPI()
    fast_api.serve(app, client, [fn])
    return app


def registered(bench: Bench) -> list[str]:
    with bench.database.autocommit() as connection:
        return [row.id for row in functions.all_of(connection)]


@pytest.mark.parametrize("key", [KEY, OLD_KEY])
def test_an_app_registers_in_its_answer_and_runs(stage: Stage, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # An app with the old key takes the new one, too, while it is changed.
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", KEY)
    client = stage.client("shop", is_production=True, signing_key=key, event_key="any")
    with served(app_of(client)) as origin:
        server = Server(runtime_of(stage.bench.app), OPTIONS)
        done = syncing.sync(server, f"{origin}/api/inngest")
        assert done is not None, "in its answer"
        assert done.modified
        assert registered(stage.bench) == ["shop-fn"]
        assert stage.output("shop/a") == "signed"


def test_an_app_with_another_key_is_not_synchronised(stage: Stage) -> None:
    other = "signkey-prod-" + "00" * 32
    client = stage.client("shop", is_production=True, signing_key=other, event_key="any")
    with served(app_of(client)) as origin, pytest.raises(ApiError) as caught:
        syncing.sync(Server(runtime_of(stage.bench.app), OPTIONS), f"{origin}/api/inngest")
    assert caught.value.code == "unauthorized"
    assert registered(stage.bench) == []


def test_a_forged_answer_is_not_believed(stage: Stage) -> None:
    app = FastAPI()

    @app.post("/api/inngest")
    async def forge(request: Request) -> Response:
        body = await request.body()
        now_s = stage.bench.now // 1000
        assert is_signed([KEY], body, request.headers["x-inngest-signature"], now_s), "calls are signed"
        headers = {"x-inngest-sdk": "js:v4.0.0", "x-inngest-signature": sign("00" * 32, b'"forged"', now_s)}
        return Response('"forged"', headers=headers)

    with served(app) as origin:
        runtime = {"type": "http", "url": f"{origin}/api/inngest?fnId=shop-fn&stepId=step"}
        fn = {
            "id": "shop-fn",
            "name": "fn",
            "triggers": [{"event": "shop/a"}],
            "steps": {"step": {"id": "step", "name": "step", "runtime": runtime, "retries": {"attempts": 0}}},
        }
        body = {"appName": "shop", "url": f"{origin}/api/inngest", "functions": [fn], "sdk": "js:v4.0.0"}
        headers = {"Authorization": f"Bearer {bearer_of(KEY)}"}
        assert stage.http.post("/fn/register", json=body, headers=headers).status_code == 200
        assert stage.error("shop/a")["code"] == "sig_verification_failed"


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (None, 401),
        ("Bearer nonsense", 401),
        ("Basic x", 401),
        (KEY, 200),
        (bearer_of(KEY), 200),
        (bearer_of(OLD_KEY), 200),
    ],
)
def test_registration_asks_for_the_key(stage: Stage, token: str | None, status: int) -> None:
    given = token if token is None or " " in token else f"Bearer {token}"
    headers = {"Authorization": given} if given else {}
    body = {"appName": "shop", "url": "http://localhost:1/api", "functions": [], "sdk": "js:v4.0.0"}
    answer = stage.http.post("/fn/register", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    if status == 401:
        assert answer.json()["code"] == "authentication_failed"


def test_health_is_open_and_nothing_says_that_this_is_a_development_server(stage: Stage) -> None:
    assert stage.http.get("/health").json() == {"status": 200, "message": "OK"}
    assert stage.http.get("/dev").status_code == 404
    assert stage.http.get("/health").headers["x-inngest-server-kind"] == "cloud"
    assert stage.http.get("/v0/runs/01HF7YAT000000000000000001/actions").status_code == 401


def test_an_address_in_the_own_network_is_refused_unless_allowed(database_url: str) -> None:
    bench = Bench(database_url, inngest_signing_key=KEY)
    server = Server(runtime_of(bench.app), OPTIONS)
    with pytest.raises(ApiError) as caught:
        syncing.sync(server, "http://127.0.0.1:9/api/inngest")
    assert caught.value.code == "private_address"
    bench.close()


@pytest.mark.parametrize("age_s", [-301, 301])
def test_a_signature_does_not_last(age_s: int) -> None:
    body = canonical({"a": 1})
    assert is_signed([KEY], body, sign(KEY, body, 1_700_000_000), 1_700_000_000)
    assert not is_signed([KEY], body, sign(KEY, body, 1_700_000_000 + age_s), 1_700_000_000)
    assert not is_signed([KEY], b"other", sign(KEY, body, 1_700_000_000), 1_700_000_000)
    assert not is_signed([KEY], body, "nonsense", 1_700_000_000)


def test_the_request_of_an_endpoint_is_signed_as_its_sdk_checks_it(stage: Stage) -> None:
    stage.http.headers["authorization"] = f"Bearer {bearer_of(KEY)}"
    asked: list[tuple[str, str]] = []
    app = FastAPI()

    @app.api_route("/orders", methods=["GET", "PUT"])
    async def orders(request: Request) -> Response:
        asked.append((request.method, request.headers["x-inngest-signature"]))
        return Response('{"op": "RunComplete", "id": "x", "data": 1}', 206, {"x-inngest-sdk": "js:v4.24.0"})

    with served(app) as origin:
        for method, body in (("GET", ""), ("PUT", '{"b": 1.0, "a": 2}')):
            data = {"domain": origin, "method": method, "path": "/orders", "body": body}
            run_id = ids.new(stage.bench.now)
            given = {"run_id": run_id, "event": {"data": data}, "steps": [{"op": "DiscoveryRequest", "id": "d"}]}
            token = stage.http.post("/v1/checkpoint", json=given).json()["data"]["token"]
            stage.drain()
            # Its token is enough, as the one who asks has no key.
            answer = httpx.get(f"{stage.url}/v1/checkpoint/{run_id}/output?token={token}")
            assert (answer.status_code, answer.json()) == (200, 1)
            assert httpx.post(f"{stage.url}/v1/checkpoint", json=given).status_code == 401
    now = stage.bench.now // 1000
    assert [method for method, _ in asked] == ["GET", "PUT"]
    assert is_signed([KEY], b"", asked[0][1], now)
    assert is_signed([KEY], canonical({"a": 2, "b": 1}), asked[1][1], now)


def noted(bench: Bench) -> dict[str, tuple[int | None, str]]:
    """When each signing key was used last, and by whom, as it is written."""
    runtime = runtime_of(bench.app)
    runtime.signing_keys.write()
    return {key.setting: (key.used_at, key.used_by) for key in signing_keys.known(runtime)}


def test_it_is_known_who_used_which_key_last_and_a_request_costs_no_statement(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is written here but when the test says so.
    monkeypatch.setattr(sends, "_LOOK_S", 3600.0)
    with staged(bench, OPTIONS) as stage:
        takes_note(stage)


def takes_note(stage: Stage) -> None:
    bench, began = stage.bench, stage.bench.now
    assert noted(bench) == {signing_keys.MAIN: (None, ""), signing_keys.FALLBACK: (None, "")}
    old = {"Authorization": f"Bearer {bearer_of(OLD_KEY)}"}
    statements: list[str] = []
    listen(bench.database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for _ in range(2):
        assert stage.http.get(f"/v0/runs/{NO_RUN}/actions", headers=old).status_code == 410
    assert statements
    assert not [each for each in statements if "inngest_key" in each]
    used_at, by = noted(bench)[signing_keys.FALLBACK]
    assert (used_at or 0) >= began
    assert by == "a request to the APIs"
    # To the minute: what comes right after it is not written.
    fn: dict[str, Any] = {"id": "shop-fn", "name": "fn", "triggers": [{"event": "shop/a"}], "steps": {"step": STEP}}
    body = {"appName": "shop", "url": "http://localhost:9/x", "functions": [fn], "sdk": "js:v4.0.0"}
    for by in ("a request to the APIs", "app shop"):
        assert stage.http.post("/fn/register", json=body, headers=old).status_code == 200
        assert noted(bench)[signing_keys.FALLBACK][1] == by
        bench.advance(seconds=61)
    assert stage.http.get("/v2/runs", headers={"Authorization": f"Bearer {bearer_of(KEY)}"}).status_code == 200
    found = noted(bench)
    assert found[signing_keys.MAIN][1] == "a request to /v2"
    bench.advance(seconds=61)
    wrong = {"Authorization": f"Bearer {'00' * 32}"}
    assert stage.http.get(f"/v0/runs/{NO_RUN}/actions", headers=wrong).json()["code"] == "authentication_failed"
    assert noted(bench) == found


def test_an_app_that_signs_with_a_key_uses_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", KEY)
    client = stage.client("shop", is_production=True, signing_key=OLD_KEY, event_key="any")
    with served(app_of(client)) as origin:
        assert syncing.sync(Server(runtime_of(stage.bench.app), OPTIONS), f"{origin}/api/inngest") is not None
        first = {by: at for at, by in noted(stage.bench).values()}
        stage.bench.advance(minutes=2)
        assert stage.output("shop/a") == "signed"
    # Whichever key the SDK signs with. A worker writes it without anybody asking for it.
    known = {key.used_by: key.used_at for key in signing_keys.known(runtime_of(stage.bench.app))}
    assert (known["app shop"] or 0) >= (first["app shop"] or 0) + 120_000


def test_a_fallback_ends_when_it_is_said_to(stage: Stage) -> None:
    bench = stage.bench
    until = datetime.fromtimestamp(bench.now / 1000 + 60, UTC)
    bench.app.conf.inngest_signing_key_fallback_until = until.isoformat()
    clock = runtime_of(bench.app).clock
    runtime_of(bench.app).renew()
    runtime_of(bench.app).__dict__["clock"] = clock
    app = FastAPI()

    @app.post("/api/inngest")
    async def answer(request: Request) -> Response:
        signature = sign(OLD_KEY, b'"old"', bench.now // 1000)
        return Response('"old"', headers={"x-inngest-sdk": "js:v4.0.0", "x-inngest-signature": signature})

    def codes(key: str) -> list[str | None]:
        headers = {"Authorization": f"Bearer {bearer_of(key)}"}
        v0, v2 = (stage.http.get(path, headers=headers) for path in (f"/v0/runs/{NO_RUN}/actions", "/v2/runs"))
        return [v0.json()["code"], v2.json().get("errors", [{}])[0].get("code")]

    with served(app) as origin:
        runtime = {"type": "http", "url": f"{origin}/api/inngest?fnId=shop-fn&stepId=step"}
        step = {**STEP, "runtime": runtime}
        fn = {"id": "shop-fn", "name": "fn", "triggers": [{"event": "shop/a"}], "steps": {"step": step}}
        body = {"appName": "shop", "url": f"{origin}/api/inngest", "functions": [fn], "sdk": "js:v4.0.0"}
        old = {"Authorization": f"Bearer {bearer_of(OLD_KEY)}"}
        assert stage.http.post("/fn/register", json=body, headers=old).status_code == 200
        assert codes(OLD_KEY) == ["run_not_found", None]
        assert stage.output("shop/a") == "old"
        bench.advance(minutes=1)
        assert codes(OLD_KEY) == ["signing_key_expired", "signing_key_expired"]
        assert stage.http.post("/fn/register", json=body, headers=old).json()["code"] == "signing_key_expired"
        assert stage.http.get("/runs", headers=old).status_code == 401
        assert codes(KEY) == ["run_not_found", None]
        assert stage.error("shop/a")["code"] == "signing_key_expired"


@pytest.mark.parametrize("until", ["2030-01-01T00:00:00", "soon", "2030-01-01T00:00:00Z"])
def test_an_end_is_an_instant_and_of_a_fallback(until: str) -> None:
    app = Celery(set_as_current=False)
    app.conf.update(inngest_signing_key=KEY, inngest_signing_key_fallback_until=until)
    with pytest.raises(SettingsError, match="signing_key_fallback_until"):
        settings_of(app)
