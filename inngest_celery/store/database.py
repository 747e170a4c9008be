"""Connections and transactions, the same for SQLite, PostgreSQL and MySQL/MariaDB."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from inngest_celery.store import sealed
from inngest_celery.store.subjects import OPTION, Subjects, lend

if TYPE_CHECKING:
    from inngest_celery.store.keyring import Keyring

_NO_BEGIN = "inngest_no_begin"
_USED_AT = "inngest_used_at"
_KEPT_AT = "inngest_kept_at"
_IDLE_S = 1.0
_WAL_ATTEMPTS = 500
_WAL_PAUSE_S = 0.01
SUPPORTED = ("postgresql", "mysql", "mariadb", "sqlite")


class DatabaseError(RuntimeError):
    """The database cannot be used as it is configured. ``code`` is stable; the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Database:
    """The product's database. Engines are made on first use in each process, so an instance survives ``fork``.

    Args:
        url: SQLAlchemy URL.
        pool_size: connections that a process keeps.
        schema: database schema of the tables (PostgreSQL only; elsewhere name the database in the URL).
        patience: seconds after which the server ends a transaction whose client does nothing, so that a process that is
            frozen in the middle of one does not hold its locks for ever (PostgreSQL and MariaDB).
        keyring: what payloads are encrypted with; ``None``: they are not.
        subjects: whose data is noted with what is stored.

    Raises:
        DatabaseError: the URL cannot be read or names a database that is not supported.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        schema: str | None = None,
        patience: int = 30,
        keyring: Keyring | None = None,
        subjects: Subjects | None = None,
    ) -> None:
        self.url = _read_url(url)
        self.dialect = "mysql" if self.url.get_backend_name() == "mariadb" else self.url.get_backend_name()
        if schema and self.dialect != "postgresql":
            raise DatabaseError(
                "database_schema_unsupported",
                "inngest_table_schema works on PostgreSQL only; elsewhere put the tables into a database of their own.",
            )
        self._pool_size = pool_size
        self.patience = patience
        self.schema = schema
        self.keyring = keyring
        self.subjects = subjects
        self._engine: sa.Engine | None = None
        self._process = 0
        self._kept: list[sa.PoolProxiedConnection] = []
        # Threads in which a transaction has SQLite's one right to write, and user code runs.
        self._reserved: set[int] = set()
        if self.dialect == "sqlite":
            _close_before_fork(self)

    @property
    def engine(self) -> sa.Engine:
        """This process's engine."""
        if self._engine is None or self._process != os.getpid():
            if self._engine is not None:
                # Inherited over fork: the sockets belong to the parent and must be left open for it.
                self._engine.dispose(close=False)
                self._kept.clear()
            self._engine, self._process = self._connect(), os.getpid()
        # Whoever takes a connection from the pool finds those in it that are kept beside it.
        while (kept := self._next_kept()) is not None:
            kept.close()
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a read-write transaction: committed at the end of the block, rolled back when it raises.

        Raises:
            DatabaseError: it would wait for a transaction that waits for it (code ``database_transaction_open``).
        """
        if threading.get_ident() in self._reserved:
            raise DatabaseError(
                "database_transaction_open",
                "SQLite lets one transaction write at a time, and that is the one of the transactional step that this "
                "is called in. Let it take part, as in client.send_sync(event, session=session), or do it in a "
                "step.run.",
            )
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Note that this thread keeps a transaction open while user code runs: SQLite's other writers wait for it."""
        if self.dialect != "sqlite":
            yield
            return
        self._reserved.add(threading.get_ident())
        try:
            yield
        finally:
            self._reserved.discard(threading.get_ident())

    @contextmanager
    def autocommit(self) -> Iterator[sa.Connection]:
        """Lend a connection for single statements, each of which is a transaction of its own.

        With MySQL the block is one transaction. To switch a connection to and fro takes two round trips more there, and
        where the server has closed it meanwhile, the error is the bare driver's, for which nobody is prepared.
        """
        if self.dialect == "mysql":
            with self.transaction() as connection:
                yield connection
            return
        with self.autocommit_engine.connect() as connection:
            yield connection

    def lend(self) -> sa.PoolProxiedConnection:
        """Take a connection for a single statement; to be given back, closed or invalidated.

        One that was just given back costs nothing, where to take one out of the pool costs as much as what the driver
        does with it.
        """
        if self._process == os.getpid():
            kept = self._next_kept()
            if kept is not None:
                if time.monotonic() - kept.record_info[_KEPT_AT] < _IDLE_S:  # type: ignore[index]
                    return kept
                # The pool finds out whether it is still open.
                kept.close()
        return self.autocommit_engine.raw_connection()

    def give_back(self, lent: sa.PoolProxiedConnection) -> None:
        """Keep a connection at hand for the next statement; it must be as it was when it was lent."""
        if len(self._kept) < self._pool_size:
            lent.record_info[_KEPT_AT] = time.monotonic()  # type: ignore[index]
            self._kept.append(lent)
        else:
            lent.close()

    def _next_kept(self) -> sa.PoolProxiedConnection | None:
        try:
            return self._kept.pop()
        except IndexError:
            return None

    def dispose(self) -> None:
        """Close the connections of this process."""
        if self._engine is not None and self._process == os.getpid():
            self.engine.dispose()
        self._engine = None

    @property
    def autocommit_engine(self) -> sa.Engine:
        """This process's engine for single statements; not with MySQL."""
        self.engine  # noqa: B018  made for this process, if it is a new one
        return self._autocommit

    def equip(self, connection: sa.Connection) -> None:
        """Have what is written on a connection of somebody else's engine encrypted and indexed as on our own."""
        sealed.equip(connection.dialect, self.keyring)
        lend(connection, self.subjects)

    def _connect(self) -> sa.Engine:
        # A connection that is used the other way than usual is switched, and back: that costs more than the statement.
        if self.dialect == "sqlite":
            engine = self._connect_sqlite()
            self._autocommit: sa.Engine = engine.execution_options(**{_NO_BEGIN: True})
        elif self.dialect == "postgresql":
            # Here all that is frequent is one statement, see ``fast``.
            self._autocommit = self._connect_server("AUTOCOMMIT")
            engine = self._autocommit.execution_options(isolation_level="READ COMMITTED")
        else:
            engine = self._autocommit = self._connect_server("READ COMMITTED")
        # The two share their dialect, and their pool.
        sealed.equip(engine.dialect, self.keyring)
        return engine

    @property
    def _carried(self) -> dict[str, Any]:
        """What every connection has with it."""
        return {} if self.subjects is None else {OPTION: self.subjects}

    def _connect_server(self, usually: str) -> sa.Engine:
        options: dict[str, Any] = {"pool_pre_ping": False, "pool_recycle": 1800, "execution_options": self._carried}
        # Else an error's text, which is logged, holds the payload that could not be stored.
        options["hide_parameters"] = True
        options |= {"pool_size": self._pool_size, "max_overflow": 20, "isolation_level": usually}
        if self.dialect == "postgresql":
            # To compile a statement costs more than any of ours takes, and PostgreSQL does it where it expects much.
            settings = ["-cjit=off", f"-cidle_in_transaction_session_timeout={self.patience * 1000}"]
            settings += [f"-csearch_path={_search_path(self.schema)}"] if self.schema else []
            options["connect_args"] = {"options": " ".join(settings)}
        engine = sa.create_engine(self.url, **options)
        if self.dialect == "mysql":
            _limit_idle_transactions(engine, self.patience)
        _ping_idle(engine)
        return engine

    def _connect_sqlite(self) -> sa.Engine:
        if self.url.database and self.url.database != ":memory:":
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        arguments = {"timeout": 30, "check_same_thread": False}
        engine = sa.create_engine(
            self.url, hide_parameters=True, connect_args=arguments, execution_options=self._carried
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: object) -> None:
            # The driver must not open transactions by itself: we say BEGIN IMMEDIATE, so that two writers queue up
            # at the start of a transaction instead of failing with "database is locked" in its middle.
            connection.isolation_level = None
            cursor = connection.cursor()
            # WAL with NORMAL survives the death of any process; only a power failure can take the last commits.
            cursor.execute("PRAGMA busy_timeout=30000")
            _use_wal(cursor)
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            if not connection.get_execution_options().get(_NO_BEGIN):
                connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine


def _limit_idle_transactions(engine: sa.Engine, seconds: int) -> None:
    """Set MariaDB's limit in every session. MySQL has none."""

    @event.listens_for(engine, "connect")
    def limit(connection: Any, _record: object) -> None:
        if "mariadb" in connection.get_server_info().lower():
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION idle_transaction_timeout = {seconds:d}")


def _use_wal(cursor: Any) -> None:
    """Switch to the write-ahead log. Of processes that do so at once to a new database, SQLite refuses all but one."""
    for _ in range(_WAL_ATTEMPTS):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_WAL_PAUSE_S)
        else:
            return
    cursor.execute("PRAGMA journal_mode=WAL")


def _ping_idle(engine: sa.Engine) -> None:
    """Try a connection that nobody has used for a while before it is lent: the server may have closed it.

    A busy one is not tried, which would be a round trip a transaction. If that one breaks, its job's lease runs out.
    """

    @event.listens_for(engine, "checkin")
    def note(_connection: object, record: Any) -> None:
        record.info[_USED_AT] = record.info.pop(_KEPT_AT, None) or time.monotonic()

    @event.listens_for(engine, "checkout")
    def check(connection: Any, record: Any, _proxy: object) -> None:
        if time.monotonic() - record.info.get(_USED_AT, time.monotonic()) < _IDLE_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise exc.InvalidatePoolError from error


def _close_before_fork(database: Database) -> None:
    """Leave a child no open connection: SQLite's locks live in memory that the child would take for its own."""
    reference = weakref.ref(database)

    def close() -> None:
        found = reference()
        if found is not None:
            found.dispose()

    os.register_at_fork(before=close)


def _search_path(schema: str) -> str:
    """Quote a schema's name, once as SQL and once as the command line of options that it becomes part of."""
    name = '"' + schema.replace('"', '""') + '"'
    return name.replace("\\", "\\\\").replace(" ", "\\ ")


def _read_url(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except exc.ArgumentError as error:
        raise DatabaseError(
            "database_url_invalid",
            "inngest_database_url is not a SQLAlchemy URL. Write for example "
            "postgresql+psycopg://user:password@host/name, mysql+pymysql://user:password@host/name or "
            "sqlite:///path/to/file.db.",
        ) from error
    if url.get_backend_name() not in SUPPORTED:
        raise DatabaseError(
            "database_unsupported",
            f"inngest_database_url names {url.get_backend_name()}; supported are PostgreSQL (postgresql+psycopg://), "
            "MySQL/MariaDB (mysql+pymysql://) and SQLite (sqlite:///).",
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise DatabaseError(
            "database_url_invalid",
            "inngest_database_url names a database in memory, which no other process or connection would see. Write "
            "for example sqlite:///path/to/file.db.",
        )
    url = url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url
    _require_driver(url)
    return url


def _require_driver(url: sa.URL) -> None:
    try:
        dialect = url.get_dialect()
        dialect.import_dbapi()
    except (exc.NoSuchModuleError, ImportError) as error:
        raise DatabaseError(
            "database_driver_missing",
            f"The driver of {url.drivername}:// in inngest_database_url is not installed ({error}). Write "
            "postgresql+psycopg:// and install inngest-celery[postgres], or mysql+pymysql:// and "
            "inngest-celery[mysql].",
        ) from error
    if dialect.is_async:
        raise DatabaseError(
            "database_url_invalid",
            f"{url.drivername}:// in inngest_database_url is for async code. Write postgresql+psycopg:// or "
            "mysql+pymysql://; client.send stays async, and takes an AsyncSession.",
        )
