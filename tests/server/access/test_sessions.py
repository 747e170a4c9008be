"""Logging in and out: what a cookie is good for, and for how long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from argon2 import PasswordHasher

from inngest_celery.server.access import accounts, logins, passwords
from inngest_celery.server.access.roles import Role
from inngest_celery.store import schema, users
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.access.conftest import PASSWORD, Guarded, log_in
from tests.whole import whole

OTHER = "another battery staple"


def is_in(client: httpx.Client) -> bool:
    status = client.get("/account").status_code
    assert status in (200, 401)
    return status == 200


def cookie_of(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"]


def test_a_session_from_log_in_to_log_out(guarded: Guarded) -> None:
    """On every database."""
    browser, bench = guarded.browser(), guarded.bench
    assert log_in(browser, "viewer", "wrong").status_code == 401
    assert not is_in(browser)
    answer = log_in(browser, " Viewer ", next="/runs?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?x=1")
    assert is_in(browser)
    value = browser.cookies["inngest_session"]
    assert value not in whole(bench.rows(schema.session)), "only its hash is stored"
    assert browser.post("/logout").status_code == 303
    assert not is_in(browser)
    replayed = guarded.browser()
    replayed.cookies.set("inngest_session", value)
    assert not is_in(replayed)
    assert bench.rows(schema.session) == []
    told = [(row.action, row.actor, row.address) for row in sorted(bench.rows(schema.audit), key=lambda row: row.id)]
    assert told == [(action, "viewer", "127.0.0.1") for action in ("login", "login", "logout")]
    assert {row.outcome for row in bench.rows(schema.audit_outcome)} == {"login_failed", "done"}


@pytest.mark.databases("sqlite")
def test_the_cookie_is_for_this_server_alone(guarded: Guarded) -> None:
    here = cookie_of(log_in(guarded.browser(), "viewer")).split("; ")
    assert here[0].startswith("inngest_session=")
    assert set(here[1:]) == {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=604800"}
    there = log_in_as(guarded, {"Host": "jobs.example.com"}).split("; ")
    assert there[0].startswith("__Host-inngest_session=")
    assert set(there[1:]) == {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=604800", "Secure"}


def log_in_as(guarded: Guarded, headers: dict[str, str]) -> str:
    data = {"name": "viewer", "password": PASSWORD}
    return cookie_of(guarded.browser().post("/login", data=data, headers=headers))


@pytest.mark.databases("sqlite")
def test_a_value_that_was_there_before_the_log_in_is_worth_nothing(guarded: Guarded) -> None:
    browser = guarded.browser()
    browser.cookies.set("inngest_session", "chosen-by-somebody-else", domain="127.0.0.1")
    assert log_in(browser, "viewer").status_code == 303
    assert "chosen-by-somebody-else" not in browser.cookies.values()
    first = browser.cookies["inngest_session"]
    assert log_in(browser, "viewer").status_code == 303
    before = guarded.browser()
    before.cookies.set("inngest_session", first)
    assert not is_in(before), "whoever logs in again ends the session before"


@pytest.mark.databases("sqlite")
def test_a_session_ends_unused_and_in_any_case_at_last(guarded: Guarded) -> None:
    idle, busy = guarded.browser("viewer"), guarded.browser("viewer")
    for _ in range(13):
        guarded.bench.advance(hours=6)
        assert is_in(busy)
    assert not is_in(idle)
    for _ in range(15):
        guarded.bench.advance(hours=6)
        is_in(busy)
    assert not is_in(busy)


@pytest.mark.databases("sqlite")
def test_whoever_is_shut_out_is_out_at_once(guarded: Guarded) -> None:
    browser, admin = guarded.browser("viewer"), guarded.browser("admin")
    assert admin.post("/users/viewer/disable").status_code == 303
    assert not is_in(browser)
    assert log_in(browser, "viewer").status_code == 401
    assert admin.post("/users/viewer/enable").status_code == 303
    assert log_in(browser, "viewer").status_code == 303
    assert admin.post("/users/viewer/role", data={"role": "operator"}).status_code == 303
    assert "operator" in browser.get("/account").text, "without another log-in"


@pytest.mark.databases("sqlite")
def test_another_password_ends_all_other_sessions(guarded: Guarded) -> None:
    here, elsewhere = guarded.browser("viewer"), guarded.browser("viewer")
    form = {"current": PASSWORD, "new": OTHER, "again": OTHER}
    for wrong in ({"current": "wrong"}, {"again": "different"}, {"new": "short", "again": "short"}):
        assert here.post("/account/password", data=form | wrong).status_code == 400
    assert is_in(elsewhere)
    assert here.post("/account/password", data=form).status_code == 303
    assert (is_in(here), is_in(elsewhere)) == (True, False)
    assert log_in(elsewhere, "viewer").status_code == 401
    assert log_in(elsewhere, "viewer", OTHER).status_code == 303
    [mine] = [part.split("/")[3] for part in here.get("/account").text.split('"') if part.endswith("/end")][:1]
    assert here.post(f"/account/sessions/{mine}/end").status_code == 303
    assert (is_in(here), is_in(elsewhere)) == (True, False), "the newest was the other one"


def test_who_guesses_has_to_wait(guarded: Guarded) -> None:
    """On every database."""
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda browser: log_in(browser, "viewer", "wrong"), [guarded.browser() for _ in range(8)])
        statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [401] * logins.MOST_PAIR + [429] * (8 - logins.MOST_PAIR), "all at once, too"
    browser = guarded.browser()
    answer = log_in(browser, "viewer")
    assert answer.status_code == 429, "not even with the right one"
    assert 800 < int(answer.headers["retry-after"]) <= 900
    assert log_in(browser, "operator").status_code == 303, "others from there may still"
    guarded.bench.advance(minutes=16)
    assert log_in(browser, "viewer").status_code == 303


@pytest.mark.databases("sqlite")
def test_names_from_one_place_are_guessed_no_more_than_a_few(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "MOST_ADDRESS", 3)
    statuses = [log_in(guarded.browser(), f"user{number}", "wrong").status_code for number in range(4)]
    assert statuses == [401, 401, 401, 429]


@pytest.mark.databases("sqlite")
def test_an_old_hash_is_made_anew_when_its_password_comes(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    def stored() -> str:
        [user] = guarded.bench.rows(schema.user, name="viewer")
        return str(user.password)

    before = stored()
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    assert log_in(guarded.browser(), "viewer").status_code == 303
    assert stored() != before
    assert ",t=2," in stored()
    assert log_in(guarded.browser(), "viewer").status_code == 303


@pytest.mark.databases("sqlite")
def test_an_unknown_name_costs_as_much_as_a_known_one(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed_against: list[str] = []
    verify = passwords._HASHER.verify

    class Counting:
        def verify(self, stored: str, password: bytes) -> bool:
            hashed_against.append(stored.rpartition("$")[0].rpartition("$")[0])
            return verify(stored, password)

    monkeypatch.setattr(passwords, "_HASHER", Counting())
    names = ("viewer", "nobody-of-this-name")
    # What was typed is said again, and nothing else differs.
    answers = [log_in(guarded.browser(), name, "wrong").text.replace(name, "…") for name in names]
    assert answers[0] == answers[1]
    assert hashed_against == [hashed_against[0]] * 2, "the same work, once each"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "\t//evil.example"])
def test_nobody_is_sent_elsewhere_from_the_log_in(guarded: Guarded, elsewhere: str) -> None:
    assert log_in(guarded.browser(), "viewer", next=elsewhere).headers["location"] == "/"


def test_accounts_on_every_database(bench: Bench, cheap_passwords: None) -> None:
    bench.inline.drain()
    runtime = runtime_of(bench.app)
    accounts.add(runtime, "Ada@Example.com", Role.ADMIN, PASSWORD)
    with pytest.raises(accounts.UserNameRefused, match="already"):
        accounts.add(runtime, "ada@example.com", Role.VIEWER, PASSWORD)
    for last in (lambda: accounts.disable(runtime, "ada@example.com"),
                 lambda: accounts.set_role(runtime, "ada@example.com", Role.OPERATOR)):  # fmt: skip
        with pytest.raises(accounts.LastAdmin):
            last()
    accounts.add(runtime, "bob", Role.ADMIN, PASSWORD)
    accounts.disable(runtime, "ada@example.com")
    with pytest.raises(accounts.LastAdmin):
        accounts.disable(runtime, "bob")
    with bench.database.autocommit() as connection:
        stored = {row.name: (row.role, row.disabled_at is not None) for row in users.all_of(connection)}
    assert stored == {"ada@example.com": ("admin", True), "bob": ("admin", False)}
    assert PASSWORD not in whole(bench.rows(schema.user))
    for name in ("", "a b", "<b>", "x" * 101, "../etc"):
        with pytest.raises(accounts.UserNameRefused):
            accounts.add(runtime, name, Role.VIEWER, PASSWORD)
