"""What other websites cannot have a browser do: with somebody's session, or on a development server."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
from starlette.requests import Request

from inngest_celery.server.access import accounts
from inngest_celery.server.access.hosts import is_at_home
from inngest_celery.server.access.roles import Role
from inngest_celery.server.options import Options
from inngest_celery.server.state import Server
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.access.conftest import PASSWORD, Guarded, log_in
from tests.server.stage import staged

pytestmark = pytest.mark.databases("sqlite")

EVIL = "http://evil.example"
QUERY = {"query": "{ apps { id } }"}
FOREIGN = {
    "a page elsewhere": {"Sec-Fetch-Site": "cross-site", "Origin": EVIL},
    "another port of this machine": {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000"},
    "an older browser": {"Origin": EVIL},
    "a page without an origin": {"Origin": "null"},
}


def without_headers(client: httpx.Client) -> httpx.Client:
    client.headers.pop("Sec-Fetch-Site", None)
    return client


def test_a_foreign_page_changes_nothing_with_a_session(guarded: Guarded) -> None:
    admin = without_headers(guarded.browser("admin"))
    assert log_in(guarded.http, "viewer").status_code == 303, "no browser"
    for headers in FOREIGN.values():
        _changes_nothing(guarded, admin, headers)


def _changes_nothing(guarded: Guarded, admin: httpx.Client, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/v0/gql"), ("POST", "/logout"), ("POST", "/users"), ("DELETE", "/v1/runs/x")):
        answer = admin.request(method, path, headers=headers)
        assert (answer.status_code, answer.json().get("code", "origin_refused")) == (403, "origin_refused"), path
    login = {"name": "viewer", "password": PASSWORD}
    assert guarded.http.post("/login", data=login, headers=headers).status_code == 403, "nor logs anybody in"
    # A link that somebody follows is another thing, and what it shows is for nobody else to read.
    page = admin.get("/account", headers=headers)
    assert page.status_code == 200
    assert "access-control-allow-origin" not in page.headers
    assert page.headers["x-frame-options"] == "DENY"


def test_our_own_pages_and_programs_may(guarded: Guarded) -> None:
    admin = without_headers(guarded.browser("admin"))
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {}):
        for more in ({}, {"Origin": guarded.url}):
            assert admin.post("/v0/gql", json=QUERY, headers=headers | more).status_code == 200


def test_a_token_is_no_browsers_to_misuse_and_outweighs_a_session(guarded: Guarded) -> None:
    foreign = FOREIGN["a page elsewhere"]
    assert guarded.program("read").post("/v0/gql", json=QUERY, headers=foreign).status_code == 200
    admin = guarded.browser("admin")
    wrong = admin.get("/users", headers={"Authorization": "Bearer ict_wrong"})
    assert wrong.status_code == 401, "whoever shows a token is nobody else"


def test_only_what_applications_pages_need_is_open_to_their_origins(guarded: Guarded) -> None:
    ask = {"Origin": EVIL, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    opened = {
        path: guarded.http.options(path, headers=ask).headers.get("access-control-allow-origin")
        for path in (
            "/e/key",
            "/v1/realtime/sse",
            "/v1/http/runs/x/output",
            "/v0/gql",
            "/v1/runs/x",
            "/invoke/fn",
            "/users",
        )
    }
    assert opened == {
        "/e/key": "*",
        "/v1/realtime/sse": "*",
        "/v1/http/runs/x/output": "*",
        "/v0/gql": None,
        "/v1/runs/x": None,
        "/invoke/fn": None,
        "/users": None,
    }
    sent = guarded.http.post("/e/event-key", json={"name": "a/b"}, headers={"Origin": EVIL})
    assert (sent.status_code, sent.headers["access-control-allow-origin"]) == (200, "*")
    assert "access-control-allow-credentials" not in sent.headers


def test_a_foreign_page_does_not_drive_a_development_server(bench: Bench) -> None:
    with staged(bench) as stage:
        assert stage.http.post("/v0/gql", json=QUERY).status_code == 200
        for headers in FOREIGN.values():
            for more in ({}, {"Authorization": "Bearer x"}):
                for path in ("/v0/gql", "/fn/register", "/invoke/fn", "/v1/http/runs/x"):
                    assert stage.http.post(path, headers=headers | more).status_code == 403, path


def test_a_name_that_a_website_has_had_resolved_to_this_machine_is_refused(bench: Bench) -> None:
    """DNS rebinding: the page and this server are of one origin then, and no browser objects."""
    rebound = {"Host": "evil.example:8288"}
    with staged(bench) as stage:
        for path in ("/v2/runs", "/openapi.json", "/account"):
            assert stage.http.get(path).status_code == 200
            assert stage.http.get(path, headers=rebound).status_code == 401, path
        as_page = rebound | {"Origin": "http://evil.example:8288"}
        for path in ("/v0/gql", "/fn/register"):
            answer = stage.http.post(path, json=QUERY, headers=as_page)
            assert (answer.status_code, answer.json()["code"]) == (403, "host_refused")
        page = stage.http.get("/account", headers=rebound | {"Accept": "text/html"})
        assert page.headers["location"] == "/login?next=%2Faccount"
        assert "--allowed-host" in stage.http.get("/login", headers=rebound).text
        assert stage.http.get("/dev", headers={"Host": "inngest:8288"}).status_code == 200, "SDKs in containers ask"


def test_a_development_server_is_open_by_the_names_that_it_was_told(bench: Bench) -> None:
    options = Options(discovery=False, poll_interval=0, allowed_hosts=frozenset({"inngest"}))
    with staged(bench, options) as stage:
        assert stage.http.get("/v2/runs", headers={"Host": "inngest:8288"}).status_code == 200
        assert stage.http.get("/v2/runs", headers={"Host": "other:8288"}).status_code == 401


@pytest.mark.parametrize(
    ("peer", "host", "home"),
    [
        ("127.0.0.1", "localhost:8288", True),
        ("::1", "[::1]:8288", True),
        ("::ffff:127.0.0.1", "app.localhost", True),
        ("192.0.2.7", "localhost:8288", False),
        ("127.0.0.1", "evil.example", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "", False),
        ("192.0.2.7", "allowed", True),
    ],
)
def test_who_is_at_home(bench: Bench, peer: str, host: str, home: bool) -> None:
    server = Server(runtime_of(bench.app), Options(allowed_hosts=frozenset({"allowed"})))
    app = SimpleNamespace(state=SimpleNamespace(server=server))
    headers = [(b"host", host.encode())]
    assert is_at_home(Request({"type": "http", "client": (peer, 1), "headers": headers, "app": app})) == home


def test_people_can_log_in_at_a_development_server_from_elsewhere(bench: Bench, cheap_passwords: None) -> None:
    bench.inline.drain()
    accounts.add(runtime_of(bench.app), "viewer", Role.VIEWER, PASSWORD)
    with staged(bench) as stage:
        elsewhere = {"Host": "dev.example", "X-Forwarded-Proto": "https"}
        entered = stage.http.post("/login", data={"name": "viewer", "password": PASSWORD}, headers=elsewhere)
        cookie = entered.headers["set-cookie"].partition(";")[0]
        assert stage.http.get("/v2/runs", headers=elsewhere | {"Cookie": cookie}).status_code == 200
        assert stage.http.get("/users", headers=elsewhere | {"Cookie": cookie}).status_code == 403


def test_a_proxy_may_ask_for_this_server_by_another_name_than_browsers_do(database_url: str) -> None:
    bench = Bench(database_url, inngest_public_url="https://jobs.example.com")
    with staged(bench) as stage:
        assert stage.http.post("/v0/gql", json=QUERY, headers={"Origin": "https://jobs.example.com"}).status_code == 200
        assert stage.http.post("/v0/gql", json=QUERY, headers={"Origin": EVIL}).status_code == 403
    bench.close()
