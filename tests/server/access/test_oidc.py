"""Logging in at an identity provider: what it says is believed only if it has said it, to us, just now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from inngest_celery.server.access import accounts
from inngest_celery.server.access.roles import Role
from inngest_celery.store import schema
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.access.conftest import CLOUD, PASSWORD
from tests.server.access.provider import CLIENT, SECRET, Provider, new_key
from tests.server.stage import Stage, staged
from tests.server.web import served

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    with served(provider.app) as provider.issuer:
        yield provider


@pytest.fixture
def bench(database_url: str, provider: Provider) -> Iterator[Bench]:
    settings = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET}
    bench = Bench(database_url, **{f"inngest_oidc_{name}": value for name, value in settings.items()})
    yield bench
    bench.close()


@pytest.fixture
def stage(bench: Bench) -> Iterator[Stage]:
    with staged(bench, CLOUD) as stage:
        yield stage


def come_back(stage: Stage, browser: httpx.Client, next: str = "/runs") -> httpx.Response:
    """Go to the provider and back."""
    left = browser.get("/login/oidc", params={"next": next})
    assert left.status_code == 303
    back = httpx.get(left.headers["location"])
    assert back.status_code == 307
    return browser.get(back.headers["location"])


@pytest.fixture
def browser(stage: Stage) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stage.url) as browser:
        yield browser


def test_who_comes_from_the_provider_is_logged_in(stage: Stage, browser: httpx.Client, provider: Provider) -> None:
    assert "Log in with 127.0.0.1" in browser.get("/login").text
    answer = come_back(stage, browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs"), answer.text
    assert "Role: viewer" in browser.get("/account").text
    assert "inngest_oidc" not in browser.cookies, "an attempt is good once"
    # Another name, and still the same one.
    accounts.set_role(runtime_of(stage.bench.app), "ada", Role.OPERATOR)
    provider.claims["preferred_username"] = "Countess"
    come_back(stage, browser)
    assert "operator" in browser.get("/account").text
    assert [row.name for row in stage.bench.rows(schema.user)] == ["ada"]
    accounts.disable(runtime_of(stage.bench.app), "ada")
    assert come_back(stage, browser).status_code == 403


def test_a_name_that_somebody_has_here_is_not_taken_over(
    stage: Stage, browser: httpx.Client, cheap_passwords: None
) -> None:
    accounts.add(runtime_of(stage.bench.app), "ada", Role.ADMIN, PASSWORD)
    assert come_back(stage, browser).status_code == 303
    page = browser.get("/account").text
    assert "Role: viewer" in page
    assert "<h1>ada-" in page
    assert browser.post("/login", data={"name": "ada", "password": ""}).status_code == 401


def _other_key(provider: Provider) -> None:
    provider.signs_with = new_key()


def _shared_secret(provider: Provider) -> None:
    provider.signs_with, provider.algorithm = SECRET, "HS256"


def _unsigned(provider: Provider) -> None:
    provider.signs_with, provider.algorithm = None, "none"


def _claim(**claims: Any) -> Callable[[Provider], None]:
    return lambda provider: provider.claims.update(claims)


FORGED: dict[str, Callable[[Provider], None]] = {
    "another key": _other_key,
    "the client's secret as a key": _shared_secret,
    "no signature": _unsigned,
    "another issuer": _claim(iss="https://other.example"),
    "for another client": _claim(aud="other"),
    "for several, and another one's": _claim(aud=[CLIENT, "other"], azp="other"),
    "of another attempt": _claim(nonce="other"),
    "expired": _claim(exp=1_000_000_000),
    "from the future": _claim(iat=4_000_000_000),
    "times that are none": _claim(exp="soon"),
    "of an unknown key": lambda provider: provider.headers.update(kid="two"),
}


def test_a_token_that_is_not_the_providers_for_us_now(stage: Stage, browser: httpx.Client, provider: Provider) -> None:
    for name, forge in FORGED.items():
        provider.be_honest()
        forge(provider)
        answer = come_back(stage, browser)
        assert answer.status_code == 401, (name, answer.text)
        assert browser.get("/account").status_code == 401, name
    assert stage.bench.rows(schema.user) == []
    assert [row.outcome for row in stage.bench.rows(schema.audit_outcome)] == ["oidc_refused"] * len(FORGED)
    provider.be_honest()
    assert come_back(stage, browser).status_code == 303


def test_an_answer_to_somebody_elses_attempt_is_refused(
    stage: Stage, browser: httpx.Client, provider: Provider
) -> None:
    with httpx.Client(base_url=stage.url) as attacker:
        back = httpx.get(attacker.get("/login/oidc").headers["location"]).headers["location"]
    assert browser.get(back).status_code == 401, "no attempt"
    browser.get("/login/oidc")
    assert browser.get(back).status_code == 401, "another attempt"
    assert len(provider.codes) == 1, "it was not even redeemed"
    again = httpx.get(browser.get("/login/oidc").headers["location"]).headers["location"]
    assert browser.get(again.replace("iss=http", "iss=https")).status_code == 401, "another provider (RFC 9207)"


def test_roles_are_what_the_providers_claims_say(database_url: str, provider: Provider) -> None:
    roles = {"jobs": "operator", "root": "admin"}
    bench = Bench(
        database_url,
        inngest_oidc_issuer=provider.issuer,
        inngest_oidc_client_id=CLIENT,
        inngest_oidc_client_secret=SECRET,
        inngest_oidc_role_claim="realm.roles",
        inngest_oidc_roles=roles,
    )
    with staged(bench, CLOUD) as stage, httpx.Client(base_url=stage.url) as browser:
        for held, role in ((["jobs", "root", "x"], "admin"), (["jobs"], "operator"), (["x"], None), (None, None)):
            provider.claims["realm"] = {"roles": held}
            answer = come_back(stage, browser)
            assert answer.status_code == (303 if role else 403)
            stored = [row.role for row in stage.bench.rows(schema.user)]
            assert stored == [role or "operator"]
    bench.close()
