"""Counts SQL statements, commits and broker messages of this process."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import psycopg
import redis
import sqlalchemy as sa
from celery import signals

counts: Counter[str] = Counter()


@cache
def install() -> None:
    """Begin to count, once a process."""
    sa.event.listen(sa.Engine, "before_cursor_execute", _count_statement)
    sa.event.listen(sa.Engine, "commit", _count_commit)
    # What SQLAlchemy does not see, see ``inngest_celery.store.direct``.
    direct: Any = psycopg.RawCursor
    direct.execute = _count_direct
    signals.before_task_publish.connect(_count_message)


def report(to: redis.Redis, key: str) -> None:
    """Add what was counted since the last report to a hash."""
    for name, number in counts.items():
        to.hincrby(key, name, number)
    counts.clear()


def _count_statement(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
    if statement.startswith(("PRAGMA", "BEGIN")):
        return
    counts["statements"] += 1
    if not _in_transaction(connection):
        # Each is a transaction of its own; one that only reads commits nothing.
        counts["commits"] += not statement.lstrip().startswith("SELECT")


def _count_direct(cursor: psycopg.RawCursor[Any], statement: bytes, *args: Any) -> object:
    counts["statements"] += 1
    counts["commits"] += not statement.lstrip().startswith(b"SELECT")
    return psycopg.Cursor.execute(cursor, statement, *args)


def _count_commit(connection: sa.Connection) -> None:
    counts["commits"] += _in_transaction(connection)


def _in_transaction(connection: sa.Connection) -> bool:
    """Tell whether a connection was opened with ``Database.transaction``, not with ``autocommit``."""
    options = connection.get_execution_options()
    if connection.dialect.name == "sqlite":
        return not options.get("inngest_no_begin")
    return options.get("isolation_level") == "READ COMMITTED"


def _count_message(**_: Any) -> None:
    counts["messages"] += 1
