"""Connections that break while nobody uses them, and connections across a fork."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest
import sqlalchemy as sa
from billiard.exceptions import SoftTimeLimitExceeded

from inngest_celery.store import database as module
from inngest_celery.store import leases, schema
from inngest_celery.store.database import Database
from inngest_celery.store.direct import Statement

_ME = {"postgresql": "select pg_backend_pid()", "mysql": "select connection_id()"}
_CLOSE = {"postgresql": "select pg_terminate_backend({})", "mysql": "kill {}"}


@pytest.mark.databases("postgres", "mariadb")
def test_an_idle_connection_that_the_server_closed_is_replaced(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE_S", 0.0)
    database, other = Database(database_url), Database(database_url)
    with database.autocommit() as connection:
        number = connection.exec_driver_sql(_ME[database.dialect]).scalar_one()
    with other.autocommit() as connection:
        connection.exec_driver_sql(_CLOSE[database.dialect].format(number))
    with database.transaction() as connection:
        assert connection.exec_driver_sql(_ME[database.dialect]).scalar_one() != number
    database.dispose()
    other.dispose()


@pytest.mark.databases("postgres", "mariadb")
@pytest.mark.parametrize("mode", ["autocommit", "transaction"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_busy_connection_that_the_server_closes_is_an_error_of_sqlalchemy_or_none(
    database_url: str, mode: str, when: str
) -> None:
    database, other = Database(database_url, pool_size=1), Database(database_url)

    def use(*, closing: bool = False) -> int:
        with getattr(database, mode)() as connection:
            number = int(connection.exec_driver_sql(_ME[database.dialect]).scalar_one())
            if closing:
                close(number)
        return number

    def close(number: int) -> None:
        with other.autocommit() as connection:
            connection.exec_driver_sql(_CLOSE[database.dialect].format(number))

    first = use()
    if when == "before":
        close(first)
    # Everybody who is ready for a lost connection expects it as this, here or at the next use.
    for closing in (when == "after", False):
        with suppress(sa.exc.DBAPIError):
            use(closing=closing)
    assert use() != first
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    database.dispose()
    other.dispose()


@pytest.mark.databases("postgres")
def test_a_direct_statement_over_a_connection_that_the_server_closed_is_an_error_of_sqlalchemy(
    database_url: str,
) -> None:
    database, other = Database(database_url, pool_size=2), Database(database_url)
    me, close = Statement("select pg_backend_pid()"), Statement("select pg_terminate_backend(%(number)s)")
    # Two connections wait in the pool; where one of them is closed, nobody is to stumble over the other.
    with database.autocommit() as first, database.autocommit() as second:
        numbers = [connection.exec_driver_sql(_ME["postgresql"]).scalar_one() for connection in (first, second)]
    for number in numbers:
        assert close.row(other, {"number": number}) == (True,)
    with pytest.raises(sa.exc.OperationalError) as caught:
        me.row(database, {})
    assert caught.value.connection_invalidated
    assert me.row(database, {}) not in [(number,) for number in numbers]
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    database.dispose()
    other.dispose()


@pytest.mark.databases("postgres")
def test_direct_statements_share_the_pools_connection(database_url: str) -> None:
    database = Database(database_url)
    me, numbers = Statement("select pg_backend_pid()"), set()
    for _ in range(3):
        numbers |= {row[0] for _ in range(3) for row in me.rows(database, {})}
        with database.transaction() as connection:
            numbers.add(connection.exec_driver_sql(_ME["postgresql"]).scalar_one())
    assert len(numbers) == 1, "a process needs a connection more than before"
    database.dispose()


@pytest.mark.databases("postgres")
def test_an_idle_connection_of_direct_statements_that_the_server_closed_is_replaced(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE_S", 0.0)
    database, other = Database(database_url), Database(database_url)
    me, close = Statement("select pg_backend_pid()"), Statement("select pg_terminate_backend(%(number)s)")
    [(number,)] = me.rows(database, {})
    assert close.row(other, {"number": number}) == (True,)
    assert me.row(database, {}) not in ((number,), None)
    database.dispose()
    other.dispose()


@pytest.mark.databases("postgres")
def test_a_direct_statement_that_is_interrupted_leaves_no_half_used_connection(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    me = Statement("select pg_backend_pid()")
    before = me.row(database, {})

    def interrupt(_signal: int, _frame: object) -> None:
        raise SoftTimeLimitExceeded

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(SoftTimeLimitExceeded):
            Statement("select pg_sleep(30)").row(database, {})
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert me.row(database, {}) not in (before, None)
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    database.dispose()


@pytest.mark.databases("postgres")
def test_what_a_direct_statement_does_wrong_is_an_error_of_sqlalchemy(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(sa.exc.IntegrityError):
        Statement("insert into inngest_lease (name) values (%(name)s)").rows(database, {"name": "x"})
    nowhere = Database(database.url.set(port=1).render_as_string(hide_password=False))
    with pytest.raises(sa.exc.OperationalError):
        Statement("select 1").row(nowhere, {})
    database.dispose()


@pytest.mark.databases("sqlite")
def test_a_child_writes_to_a_database_that_its_parent_had_open(database_url: str) -> None:
    database = Database(database_url)
    _write(database, "parent")
    child = os.fork()
    if child == 0:
        os._exit(0 if _write(database, "child") else 1)
    assert os.waitpid(child, 0)[1] == 0
    with database.autocommit() as connection:
        names = connection.execute(sa.select(schema.lease.c.name)).scalars()
        assert set(names) == {"parent", "child"}
    database.dispose()


def _write(database: Database, name: str) -> bool:
    with database.transaction() as connection:
        connection.execute(sa.insert(schema.lease).values(name=name, owner=name, until=0))
    return True


@pytest.mark.databases("postgres", "mariadb")
def test_a_frozen_client_does_not_hold_its_locks_for_ever(database_url: str) -> None:
    frozen, other = Database(database_url, patience=1), Database(database_url)
    assert leases.acquire(other, "work", "nobody", now=0, until=1)
    take = sa.update(schema.lease).values(owner="frozen")
    with frozen.engine.connect() as connection:
        connection.execute(take)
        # Nothing comes from this client any more. The server ends its transaction, and lets the other one have the row.
        assert leases.acquire(other, "work", "other", now=2, until=3)
        with pytest.raises(sa.exc.DBAPIError):
            connection.execute(take)
    for database in (frozen, other):
        database.dispose()
