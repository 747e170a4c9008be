"""Every route, and whom it lets in. One that is in no table fails the test: whoever adds it says whom it is for."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute, iter_route_contexts
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from inngest_celery.server.access import Guard, Role, person_of
from inngest_celery.server.application import create_app
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.access.conftest import CLOUD, NO_ID, Guarded
from tests.server.web import served

pytestmark = pytest.mark.databases("sqlite")

# For anybody, or with a secret of their own in the request, which tests of their own are about.
OPEN = {
    "GET /health",
    "GET /dev",
    "GET /v2/health",
    "GET /api/v2/health",
    "POST /e/{key}",
    "GET /w/{name}",
    "POST /w/{name}",
    "GET /v1/realtime/sse",
    "GET /v1/checkpoint/{run_id}/output",
    "GET /v1/http/runs/{run_id}/output",
    "GET /login",
    "POST /login",
    "GET /logout",
    "POST /logout",
    "GET /login/oidc",
    "GET /login/oidc/callback",
    # Style sheets, scripts and pictures: what the page to log in is made with.
    "MOUNT /static",
    "WS /v1/realtime/connect",
    "WS /v0/connect/ws",
}
# For SDKs, which have the signing key, and for nobody else.
SDK = {
    "POST /fn/register",
    "DELETE /fn/remove",
    "GET /v0/runs/{run_id}/actions",
    "GET /v0/runs/{run_id}/batch",
    "DELETE /v0/runs/{run_id}",
    "POST /v1/checkpoint/{run_id}/async",
    "POST /v1/checkpoint",
    "POST /v1/checkpoint/{run_id}/steps",
    "POST /v0/connect/start",
    "POST /v0/connect/flush",
    "POST /v1/realtime/token",
    "POST /v1/realtime/publish",
    "POST /v1/realtime/publish/tee",
}
ADMIN = {
    "GET /users",
    "POST /users",
    "POST /users/{name}/role",
    "POST /users/{name}/password",
    "POST /users/{name}/disable",
    "POST /users/{name}/enable",
    "GET /tokens",
    "POST /tokens",
    "POST /tokens/{token_id}/revoke",
    "GET /audit",
    "GET /keys",
    "POST /keys",
    "POST /keys/{key_id}/rotate",
    "POST /keys/{key_id}/revoke",
    *(
        f"{route[0]} {prefix}{route[1]}"
        for prefix in ("/v2", "/api/v2")
        for route in (
            ("GET", "/keys"),
            ("POST", "/keys/events"),
            ("POST", "/keys/events/{key_id}/rotate"),
            ("POST", "/keys/events/{key_id}/revoke"),
        )
    ),
}
OPERATOR = {
    "POST /invoke/{slug}",
    "DELETE /v1/runs/{run_id}",
    "POST /v1/signals",
    "POST /v1/cancellations",
    "DELETE /v1/cancellations/{cancellation_id}",
    "POST /runs/cancel",
    "POST /runs/replay",
    "POST /runs/delete",
    "POST /runs/many",
    "POST /runs/{run_id}/cancel",
    "POST /runs/{run_id}/rerun",
    "POST /runs/{run_id}/delete",
    "POST /events",
    "POST /apps",
    "POST /apps/{app_id}/remove",
    "POST /failures/replay",
    *(
        f"POST /functions/{{function_id:path}}/{action}"
        for action in ("pause", "resume", "drain", "archive", "invoke", "limits", "limits/reset")
    ),
    *(
        f"POST {prefix}{path}"
        for prefix in ("/v2", "/api/v2")
        for path in (
            "/runs/{run_id}/cancel",
            "/runs/{run_id}/rerun",
            "/apps/{app_id}/functions/{function_id}/invoke",
            "/events",
        )
    ),
}
# Whatever only reads, and one's own account.
VIEWER_WRITES = {"POST /v0/gql", "POST /mcp", "POST /account/password", "POST /account/sessions/{session_id}/end"}

RANKS = {
    "nobody": 0,
    "sender": 0,
    "viewer": 1,
    "reader": 1,
    "operator": 2,
    "runner": 2,
    "sdk": 2,
    "admin": 3,
    "boss": 3,
}
REFUSED = (401, 403)


def routes_of(app: FastAPI) -> Iterator[str]:
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIWebSocketRoute):
            yield f"WS {route.path}"
        else:
            yield from (f"{method} {route.path}" for method in sorted(route.methods or ["MOUNT"]))


def rank_of(route: str) -> int | None:
    """The rank that a route asks for: 0 for anybody; ``None`` for SDKs."""
    if route in OPEN:
        return 0
    if route in SDK:
        return None
    if route in ADMIN:
        return 3
    if route in OPERATOR:
        return 2
    method, _, path = route.partition(" ")
    assert method in ("GET", "MOUNT") or route in VIEWER_WRITES or path.endswith("{path:path}"), f"whom is {route} for?"
    return 1


def test_every_route_lets_in_whom_it_is_for_and_nobody_else(guarded: Guarded, bench: Bench) -> None:
    clients = {
        "nobody": guarded.browser(),
        "sender": guarded.program("events:send"),
        "reader": guarded.program("read"),
        "runner": guarded.program("operate"),
        "boss": guarded.program("admin"),
        "sdk": guarded.sdk(),
        **{role: guarded.browser(role) for role in ("viewer", "operator", "admin")},
    }
    routes = list(routes_of(create_app(runtime_of(bench.app), CLOUD)))
    assert len(routes) > 60
    assert {*OPEN, *SDK, *ADMIN, *OPERATOR, *VIEWER_WRITES} <= set(routes), "the tables name routes that are gone"
    wrong = []
    for route in routes:
        method, _, path = route.partition(" ")
        rank = rank_of(route)
        if method == "WS" or rank == 0 or path.startswith("/api/v2/"):
            # The last are the same as those at /v2.
            continue
        address = path.replace("{path:path}", "nowhere").replace("{function_id:path}", "nowhere")
        for field in ("run_id", "event_id", "cancellation_id", "session_id", "token_id", "key_id"):
            address = address.replace(f"{{{field}}}", NO_ID)
        address = address.replace("{", "").replace("}", "")
        for name, client in clients.items():
            # What goes on for ever is not waited for.
            with client.stream(method.replace("MOUNT", "GET"), address) as answer:
                status = answer.status_code
            let_in = name == "sdk" if rank is None else RANKS[name] >= rank
            # What is asked for is not there, or malformed; but that is told only to those who may know.
            if (status in REFUSED) == let_in or (status >= 500 and status != 501):
                wrong.append((route, name, status))
    assert not wrong


def test_every_mutation_is_for_operators(guarded: Guarded) -> None:
    def ask(client: httpx.Client, query: str) -> httpx.Response:
        return client.post("/v0/gql", json={"query": query})

    mutation = f'mutation {{ cancelRun(runID: "{NO_ID}") {{ id }} }}'
    viewer, operator = guarded.browser("viewer"), guarded.browser("operator")
    assert ask(viewer, "{ apps { id } }").json() == {"data": {"apps": []}}
    refused = ask(viewer, mutation)
    assert (refused.status_code, refused.json()["code"]) == (403, "role_missing")
    # Whatever else stands beside it in the document.
    assert ask(viewer, "query A { apps { id } } " + mutation).status_code == 200, "no operation is chosen"
    named = {"query": 'query A { apps { id } } mutation B { deleteAppByName(name: "x") }', "operationName": "B"}
    assert viewer.post("/v0/gql", json=named).status_code == 403
    assert ask(operator, mutation).json()["errors"][0]["extensions"]["code"] == "not_found"


def test_a_page_sends_whoever_is_not_logged_in_to_the_login_and_back(guarded: Guarded) -> None:
    browser = guarded.browser()
    page = browser.get("/audit?action=login", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Faudit%3Faction%3Dlogin")
    assert 'value="/audit?action=login"' in browser.get(page.headers["location"]).text
    part = browser.get("/audit", headers={"HX-Request": "true", "Accept": "*/*"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login")
    viewer = guarded.browser("viewer")
    page = viewer.get("/users", headers={"Accept": "text/html"})
    assert page.status_code == 403
    assert "this is for admins" in page.text


def test_a_token_sends_events_in_the_place_of_an_event_key(guarded: Guarded) -> None:
    event = {"name": "shop/a"}
    sender, boss, nobody = guarded.program("events:send"), guarded.program("admin"), guarded.browser()
    token = sender.headers["authorization"].removeprefix("Bearer ")
    assert sender.post("/e/-", json=event).status_code == 200
    assert nobody.post(f"/e/{token}", json=event).status_code == 200
    assert nobody.post("/e/event-key", json=event).status_code == 200
    assert boss.post("/e/-", json=event).status_code == 401, "it has no scope for that"
    assert nobody.post("/e/-", json=event).status_code == 401


def test_a_token_that_has_expired_or_was_revoked_is_good_for_nothing(guarded: Guarded) -> None:
    short, revoked = guarded.program("read", lasts_ms=60_000), guarded.program("read")
    assert (short.get("/v2/runs").status_code, revoked.get("/v2/runs").status_code) == (200, 200)
    guarded.bench.advance(seconds=61)
    assert (short.get("/v2/runs").status_code, revoked.get("/v2/runs").status_code) == (401, 200)
    admin = guarded.browser("admin")
    page = admin.get("/tokens").text
    assert "expired" in page
    [token_id] = [each.split("/")[2] for each in page.split('"') if each.endswith("/revoke")]
    assert admin.post(f"/tokens/{token_id}/revoke").status_code == 303
    assert admin.post(f"/tokens/{token_id}/revoke").status_code == 404
    assert revoked.get("/v2/runs").status_code == 401


def test_what_is_mounted_is_guarded_as_a_whole(guarded: Guarded, bench: Bench) -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        person = person_of(Request(scope))
        assert person is not None
        await PlainTextResponse(person.name)(scope, receive, send)

    app = create_app(runtime_of(bench.app), CLOUD)
    app.mount("/mounted", Guard(inner, Role.OPERATOR))
    with served(app) as url:
        told = [client.get(f"{url}/mounted/x") for client in (guarded.http, guarded.program("read"), guarded.sdk())]
    assert [answer.status_code for answer in told] == [401, 403, 200]
    assert told[2].text == "signing key"
