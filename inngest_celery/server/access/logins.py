"""Logging in with a name and a password: throttled, and as slow for names that there are not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address, ip_address

from starlette.requests import HTTPConnection

from inngest_celery.server.access import audit, passwords
from inngest_celery.server.access.roles import Person, Role
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import server_of
from inngest_celery.store import login_attempts, users
from inngest_celery.store.conflicts import retried
from inngest_celery.store.users import UserRow
from inngest_celery.worker.runtime import Runtime

WINDOW_MS = 15 * 60_000
# Few for one name from one place; more for a place, behind which many may sit; and many for a name, whose owner could
# be kept out otherwise.
MOST_PAIR, MOST_ADDRESS, MOST_NAME = 5, 30, 100


class TooManyAttempts(ApiError):
    """Log-ins are not even looked at for a while.

    Attributes:
        wait_s: for how many seconds.
    """

    def __init__(self, wait_s: int) -> None:
        minutes = -(-wait_s // 60)
        super().__init__(429, f"Too many attempts. Try again in {minutes} min.", code="login_throttled")
        self.wait_s = wait_s


def check(request: HTTPConnection, name: str, password: str, *, action: str = "login") -> UserRow | None:
    """Give the user whose name and password these are; ``None`` if they are nobody's, which the log says.

    Args:
        action: what they are given for.

    Raises:
        TooManyAttempts: neither was looked at.
    """
    runtime, written = server_of(request).runtime, name.strip().lower()[:100]
    keys = _Keys(written, request.client.host if request.client else "")
    now = runtime.clock.now()
    _refuse_until(_count(runtime, keys.most(), now), now)
    with runtime.database.autocommit() as connection:
        user = users.get(connection, written)
    right = passwords.is_right(user.password if user else None, password)
    if user is None or not right or user.disabled_at is not None:
        # What is no user's name may be a password in the wrong field.
        actor = Person(user.name if user else "unknown", Role.NOBODY, "nobody")
        audit.record(request, actor, action, outcome="login_failed")
        return None
    _settle(runtime, keys, now, user, password)
    return user


def count_address(request: HTTPConnection) -> None:
    """Count an attempt by way of an identity provider, each of which has us ask it.

    Raises:
        TooManyAttempts: there were too many from there.
    """
    runtime = server_of(request).runtime
    now = runtime.clock.now()
    key = _Keys("", request.client.host if request.client else "").address
    _refuse_until(_count(runtime, {key: MOST_ADDRESS}, now), now)


def succeed_from(request: HTTPConnection) -> None:
    """Do not count the attempt after all."""
    runtime = server_of(request).runtime
    key = _Keys("", request.client.host if request.client else "").address
    _give_back(runtime, "", [key], runtime.clock.now())


@retried
def _give_back(runtime: Runtime, key: str, others: list[str], now: int) -> None:
    with runtime.database.transaction() as connection:
        login_attempts.give_back(connection, key, others, now)


def person_for(user: UserRow) -> Person:
    """Give who a user is once logged in."""
    return Person(user.name, Role[user.role.upper()], "session")


class _Keys:
    """What an attempt counts under."""

    def __init__(self, name: str, address: str) -> None:
        network = _network(address)
        self.pair, self.address, self.name = _hash(name, network), _hash("", network), _hash(name, "")

    def most(self) -> dict[str, int]:
        return {self.pair: MOST_PAIR, self.address: MOST_ADDRESS, self.name: MOST_NAME}


@retried
def _count(runtime: Runtime, most: Mapping[str, int], now: int) -> int | None:
    with runtime.database.transaction() as connection:
        return login_attempts.count(connection, most, now, WINDOW_MS)


def _refuse_until(until: int | None, now: int) -> None:
    if until is not None:
        raise TooManyAttempts(max(1, -(-(until - now) // 1000)))


def _settle(runtime: Runtime, keys: _Keys, now: int, user: UserRow, password: str) -> None:
    """After the right password: its attempt does not count, and it is hashed as new ones are."""
    assert user.password is not None
    _give_back(runtime, keys.pair, [keys.address, keys.name], now)
    if passwords.is_outdated(user.password):
        _strengthen(runtime, user, passwords.hashed(password))


@retried
def _strengthen(runtime: Runtime, user: UserRow, stronger: str) -> None:
    with runtime.database.transaction() as connection:
        stored = users.lock(connection, user.name)
        if stored is not None and stored.password == user.password:
            users.save(connection, replace(stored, password=stronger))


def _network(address: str) -> str:
    """Give whose an address is: one machine can have all IPv6 addresses of a network."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
