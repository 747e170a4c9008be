"""Keys in the dashboard and over REST: made, rotated and revoked by admins, shown once, and in the log."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from inngest_celery.store import audit
from tests.functions.bench import Bench
from tests.server.access.conftest import KEY, NO_ID, Guarded

pytestmark = pytest.mark.databases("sqlite")


def sends(guarded: Guarded, key: str, name: str = "shop/a") -> int:
    # A key that was looked at a moment ago is good for five seconds more.
    guarded.bench.advance(seconds=6)
    return guarded.http.post(f"/e/{key}", json={"name": name}).status_code


def log_of(bench: Bench) -> list[tuple[str, str, str, str | None]]:
    """What the log says of keys, and that no key is in it."""
    with bench.database.autocommit() as connection:
        found = [each for each in audit.page(connection, audit.AuditFilter(), 100) if each[0].action.startswith("key.")]
    assert "ice_" not in json.dumps([row.details for row, _ in found])
    return [(row.action, row.actor, row.kind, done and done.outcome) for row, done in reversed(found)]


def secret_in(page: httpx.Response) -> str:
    assert page.status_code == 201, page.text
    assert page.headers["cache-control"] == "no-store"
    return page.text.partition("The key is <code>")[2].partition("</code>")[0]


def test_an_admin_looks_after_keys_on_a_page(guarded: Guarded) -> None:
    admin = guarded.browser("admin")
    first = secret_in(admin.post("/keys", data={"name": "ci", "scopes": "shop/*\nbilling/paid", "lasts": "90d"}))
    assert [sends(guarded, first), sends(guarded, first, "other")] == [200, 403]
    page = admin.get("/keys").text
    assert first not in page
    assert "shop/*, billing/paid" in page
    assert "inngest_signing_key" in page
    key_id = page.partition("/keys/")[2].partition("/rotate")[0]
    second = secret_in(admin.post(f"/keys/{key_id}/rotate", data={"overlap": "1h"}))
    assert [sends(guarded, first), sends(guarded, second)] == [200, 200]
    assert admin.post(f"/keys/{key_id}/revoke").headers["location"] == "/keys"
    assert [sends(guarded, first), sends(guarded, second)] == [401, 200]
    assert admin.post(f"/keys/{key_id}/revoke").status_code == 404
    for given in ({"name": " "}, {"name": "x", "scopes": "a*b"}, {"name": "x", "lasts": "soon"}):
        refused = admin.post("/keys", data=given)
        assert refused.status_code == 400
        assert 'role="alert"' in refused.text
    assert admin.post(f"/keys/{key_id}/rotate", data={"overlap": "soon"}).status_code == 400
    assert [each for each in log_of(guarded.bench) if each[3] == "done"] == [
        (action, "admin", "session", "done") for action in ("key.create", "key.rotate", "key.revoke")
    ]


def test_no_other_site_and_nobody_else_makes_keys(guarded: Guarded) -> None:
    admin = guarded.browser("admin")
    foreign = admin.post("/keys", data={"name": "ci"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert guarded.browser("operator").post("/keys", data={"name": "ci"}).status_code == 403
    assert log_of(guarded.bench) == []


def test_a_program_looks_after_keys_over_rest(guarded: Guarded) -> None:
    boss, operator = guarded.program("admin"), guarded.program("operate")

    def call(path: str, status: int = 201, **given: Any) -> dict[str, Any]:
        answer = boss.post(f"/v2/keys/events{path}", json=given)
        assert answer.status_code == status, answer.text
        assert status != 201 or answer.headers["cache-control"] == "no-store"
        found: dict[str, Any] = answer.json().get("data") or answer.json()["errors"][0]
        return found

    made = call("", name="ci", scopes=["shop/*"], lasts="90d")
    assert [sends(guarded, made["key"]), sends(guarded, made["key"], "other")] == [200, 403]
    newer = call(f"/{made['id']}/rotate", overlap="0s")
    assert (newer["replaces"], newer["scopes"]) == (made["id"], ["shop/*"])
    assert [sends(guarded, made["key"]), sends(guarded, newer["key"])] == [401, 200]
    assert call(f"/{newer['id']}/revoke", 200)["revokedAt"]
    assert sends(guarded, newer["key"]) == 401
    listed = boss.get("/v2/keys").json()["data"]
    assert [(each["kind"], each["name"]) for each in listed] == [
        ("event", "ci"),
        ("event", "ci"),
        ("signing", "inngest_signing_key"),
    ]
    text = json.dumps(listed)
    assert not [each for each in (made["key"], newer["key"], KEY) if each in text]
    assert call("", 400, name="x", scopes=["a*b"])["code"] == "key_invalid"
    assert call("", 400, name="x", lasts="soon")["code"] == "key_invalid"
    assert call(f"/{NO_ID}/rotate", 404)["code"] == "key_not_found"
    assert call(f"/{NO_ID}/revoke", 404)["code"] == "key_not_found"
    assert operator.post("/v2/keys/events", json={"name": "x"}).status_code == 403
    assert guarded.sdk().get("/v2/keys").status_code == 403
    assert [each for each in log_of(guarded.bench) if each[3] == "done"] == [
        (action, "test", "token", "done") for action in ("key.create", "key.rotate", "key.revoke")
    ]
