"""A server in production mode, with people who may log in and programs that have tokens."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from argon2 import PasswordHasher

from inngest_celery.drivers.http.signing import bearer_of
from inngest_celery.server.access import accounts, api_tokens, passwords
from inngest_celery.server.access.roles import Role
from inngest_celery.server.options import Options
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.server.stage import Stage, staged

KEY = "signkey-prod-" + "0123456789abcdef" * 4
EVENT_KEY = "event-key"
PASSWORD = "correct horse battery"
CLOUD = Options(development=False, discovery=False, poll_interval=0, event_keys=frozenset({EVENT_KEY}))
# Of any id that an address may hold.
NO_ID = "01HF7YAT000000000000000001"


class Guarded(Stage):
    """A server that asks who one is. Users are ``viewer``, ``operator`` and ``admin``."""

    def __init__(self, bench: Bench, url: str) -> None:
        super().__init__(bench, url)
        self.clients = [self.http]

    def browser(self, user: str | None = None) -> httpx.Client:
        """A browser, logged in if a user is named."""
        browser = self._client({"Sec-Fetch-Site": "same-origin"})
        if user is not None:
            assert log_in(browser, user).status_code == 303
        return browser

    def program(self, *scopes: str, **options: int) -> httpx.Client:
        """A program that has a token."""
        made = api_tokens.create(runtime_of(self.bench.app), "test", scopes, created_by="admin", **options)
        return self.bearer(made.secret)

    def sdk(self) -> httpx.Client:
        """An SDK that has the signing key."""
        return self.bearer(bearer_of(KEY))

    def bearer(self, token: str) -> httpx.Client:
        return self._client({"Authorization": f"Bearer {token}"})

    def _client(self, headers: dict[str, str]) -> httpx.Client:
        client = httpx.Client(base_url=self.url, timeout=30, headers=headers)
        self.clients.append(client)
        return client


def log_in(browser: httpx.Client, user: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    return browser.post("/login", data={"name": user, "password": password, **more})


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with next to no work, which is what it is for, but not in tests."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    monkeypatch.setattr(passwords, "_NOBODYS", hasher.hash("nobody's"))


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    bench = Bench(database_url, inngest_signing_key=KEY)
    yield bench
    bench.close()


@pytest.fixture
def guarded(bench: Bench, cheap_passwords: None) -> Iterator[Guarded]:
    runtime = runtime_of(bench.app)
    with staged(bench, CLOUD) as stage:
        for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
            accounts.add(runtime, role.label, role, PASSWORD)
        guarded = Guarded(bench, stage.url)
        yield guarded
        for client in guarded.clients:
            client.close()
