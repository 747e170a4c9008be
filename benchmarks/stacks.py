"""The databases and brokers to measure on: those of the tests, found at the same addresses."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tests.brokers import open_broker
from tests.databases import open_server
from tests.services import missing

STACKS = {
    "postgres + redis": ("postgres", "redis"),
    "postgres + rabbitmq": ("postgres", "rabbitmq"),
    "embedded": ("sqlite", "valkey"),
}


@dataclass(frozen=True)
class Stack:
    """An empty broker, a Redis for notices and results, and a place for databases; all removed at the end."""

    name: str
    directory: Path
    broker: str
    notices: str
    new_database: _NewDatabase


class _NewDatabase:
    def __init__(self, kind: str, directory: Path) -> None:
        self._server = open_server(kind, directory)
        self._urls: list[str] = []

    def __call__(self) -> str:
        url = self._server.create(tables=True)
        self._urls.append(url)
        _wait_for_disk(url)
        return url

    def close(self) -> None:
        for url in self._urls:
            self._server.remove(url)
        self._server.close()


def _wait_for_disk(url: str) -> None:
    """Have commits wait until they are on disk, which those of tests do not."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.exec_driver_sql(f'alter database "{engine.url.database}" reset synchronous_commit')


def why_not(name: str) -> str | None:
    """Say why a stack cannot be measured here, if so."""
    reasons = {kind: missing()[kind] for kind in STACKS[name] if kind in missing()}
    if "rabbitmq" in STACKS[name] and "redis" in missing():
        reasons["redis"] = missing()["redis"]
    return "; ".join(f"{kind}: {reason}" for kind, reason in reasons.items()) or None


@contextmanager
def opened(name: str) -> Iterator[Stack]:
    """Open a stack."""
    database_kind, broker_kind = STACKS[name]
    with ExitStack() as closing:
        directory = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="inngest-bench-")))
        broker = open_broker(broker_kind, directory / "broker")
        closing.callback(broker.close)
        broker_url = notices = broker.empty()
        if broker_kind == "rabbitmq":
            beside = open_broker("redis", directory)
            closing.callback(beside.close)
            notices = beside.empty()
        (directory / "sql").mkdir()
        databases = _NewDatabase(database_kind, directory / "sql")
        closing.callback(databases.close)
        yield Stack(name, directory, broker_url, notices, databases)


def new_queue(name: str) -> str:
    return f"bench-{name}-{secrets.token_hex(3)}"
