"""Which real services can be reached, so that the tests know which part of the matrix they can run.

A service is looked for at its usual local address, or where its variable says; an empty variable switches it off. One
that is named by its variable or in ``INNGEST_TEST_REQUIRE`` (``postgres,mariadb,redis,rabbitmq,node,chromium``) must
be there, or the run fails before its first test.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import redis
import sqlalchemy as sa
from kombu.connection import Connection
from kombu.exceptions import OperationalError

_REQUIRE = "INNGEST_TEST_REQUIRE"
# What the first process of a run found; its xdist workers must collect the same tests.
_FOUND = "_INNGEST_TEST_FOUND"
_STALE_SECONDS = 3 * 3600
_CONNECT_TIMEOUT = 3

PREFIX = "inngest_test_"
# Everything that this process makes on a shared server starts with this.
RUN_PREFIX = f"{PREFIX}{int(time.time()):08x}_{secrets.token_hex(3)}_"


@dataclass(frozen=True)
class Service:
    """A server outside the tests. ``probe`` raises one of ``refusals`` where it cannot be used."""

    name: str
    usual_url: str
    probe: Callable[[str], None]
    refusals: tuple[type[Exception], ...]

    @property
    def variable(self) -> str:
        return f"TEST_{self.name.upper()}_URL"

    @property
    def url(self) -> str:
        url = os.environ.get(self.variable, self.usual_url)
        return re.sub(
            "^(mysql|mariadb)://", "mysql+pymysql://", re.sub("^postgres(ql)?://", "postgresql+psycopg://", url)
        )


def _probe_sql(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": _CONNECT_TIMEOUT})
    with engine.connect():
        pass


def _probe_redis(url: str) -> None:
    with redis.Redis.from_url(url, socket_connect_timeout=_CONNECT_TIMEOUT) as client:
        client.ping()


def _probe_rabbitmq(url: str) -> None:
    from tests import rabbitmq

    with Connection(url, connect_timeout=_CONNECT_TIMEOUT) as connection:  # type: ignore[no-untyped-call]
        connection.connect()
    if reason := rabbitmq.refusal(urlsplit(url)):
        raise OperationalError(reason)


def _probe_command(name: str) -> None:
    if shutil.which(name) is None or shutil.which("node") is None:
        raise OSError(f"{name} or node is not on the PATH")


def _probe_browser(names: str) -> None:
    if browser(names) is None:
        raise OSError(f"none of {names} is on the PATH")


def browser(names: str | None = None) -> str | None:
    """Give the path of the browser that drives the dashboard in tests."""
    found = (shutil.which(name) for name in (names or SERVICES["chromium"].url).split(","))
    return next((path for path in found if path), None)


_SQL_REFUSALS = (sa.exc.OperationalError, sa.exc.ArgumentError)

SERVICES = {
    service.name: service
    for service in (
        Service(
            "postgres",
            "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
            _probe_sql,
            _SQL_REFUSALS,
        ),
        Service(
            "mariadb",
            "mysql+pymysql://root@127.0.0.1:3306",
            _probe_sql,
            _SQL_REFUSALS,
        ),
        Service("redis", "redis://127.0.0.1:6379", _probe_redis, (redis.RedisError, ValueError)),
        # Not a server: what the app on the TypeScript SDK is installed and run with.
        Service("node", "npm", _probe_command, (OSError,)),
        # No server either.
        Service("chromium", "chromium,chromium-browser,google-chrome", _probe_browser, (OSError,)),
        Service("rabbitmq", "amqp://guest:guest@127.0.0.1:5672//", _probe_rabbitmq, (OperationalError, OSError)),
    )
}


def missing() -> dict[str, str]:
    """Services that cannot be used, and why. Asked once a run; the answer reaches the xdist workers by environment."""
    if _FOUND not in os.environ:
        reasons = {name: _refusal(service) for name, service in SERVICES.items()}
        os.environ[_FOUND] = json.dumps({name: reason for name, reason in reasons.items() if reason})
    answer: dict[str, str] = json.loads(os.environ[_FOUND])
    return answer


def required() -> set[str]:
    """Services that this run may not do without.

    Raises:
        ValueError: ``INNGEST_TEST_REQUIRE`` names a service that does not exist.
    """
    named = {name.strip() for name in os.environ.get(_REQUIRE, "").split(",") if name.strip()}
    if unknown := named - SERVICES.keys():
        raise ValueError(f"{_REQUIRE} names {', '.join(sorted(unknown))}; known: {', '.join(SERVICES)}")
    return named | {name for name, service in SERVICES.items() if os.environ.get(service.variable)}


def stale_before() -> str:
    """A name of ours that is less than this, as text, was made by a run that began hours ago."""
    return f"{PREFIX}{int(time.time()) - _STALE_SECONDS:08x}"


def is_stale(name: str) -> bool:
    """Whether something on a shared server was left behind by a run that began hours ago."""
    return name.startswith(PREFIX) and name < stale_before()


def _refusal(service: Service) -> str:
    if not service.url:
        return f"switched off by {service.variable}"
    try:
        service.probe(service.url)
    except service.refusals as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        return f"{reason}; {service.variable} can name another address"
    return ""
