"""Races made certain: a row lock is held until everybody who shall race waits for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from tests.functions.bench import Bench
from tests.waiting import wait_until

_WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
# InnoDB's views of its transactions are renewed only while nobody asks: tests beside each other keep them stale.
_STATUS = "show engine innodb status"
_SESSIONS = "select id from information_schema.processlist where db = database()"
_THREAD = re.compile(r"thread id (\d+)")


class Race:
    """Runs its parts in threads, and knows how many of them wait for a lock."""

    def __init__(self, bench: Bench, threads: ThreadPoolExecutor) -> None:
        self._bench = bench
        self._threads = threads

    def start(self, part: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Begin a part in a thread of its own."""
        return self._threads.submit(part, *arguments)

    def wait_for_waiters(self, number: int) -> None:
        """Wait until exactly so many transactions wait for a lock."""
        wait_until(lambda: self._waiters() == number, 10.0, f"{number} transactions to wait for a lock")

    @contextmanager
    def holding(self, statement: sa.Executable) -> Iterator[None]:
        """Hold what a statement locks during the block, and undo what it did."""
        with self._bench.database.engine.connect() as connection, connection.begin() as transaction:
            connection.execute(statement)
            yield
            transaction.rollback()

    def _waiters(self) -> int:
        database = self._bench.database
        with database.autocommit() as connection:
            if database.dialect == "postgresql":
                return int(connection.exec_driver_sql(_WAITING).scalar_one())
            status = str(connection.exec_driver_sql(_STATUS).one()[2])
            ours = set(connection.exec_driver_sql(_SESSIONS).scalars())
        waiting = [block for block in status.split("---TRANSACTION") if "LOCK WAIT" in block]
        threads = [int(found[1]) for block in waiting if (found := _THREAD.search(block))]
        return len(ours.intersection(threads))


@contextmanager
def race(bench: Bench) -> Iterator[Race]:
    """Have threads for a race; at the end of the block all of them have ended."""
    with ThreadPoolExecutor(4) as threads:
        yield Race(bench, threads)
