"""An empty database for each test: a copied file, or a database of the process that is emptied after each test."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from tests.services import PREFIX, RUN_PREFIX, SERVICES, is_stale

_UNKNOWN_THREAD = 1094
_OTHERS = {
    "postgresql": "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    "mysql": "select id from information_schema.processlist where db = database() and id <> connection_id()",
}
_BREAK = {"postgresql": "select pg_terminate_backend({})", "mysql": "kill {}"}


class DatabaseServer(Protocol):
    """Makes databases. One object serves all tests of a process."""

    def create(self, *, tables: bool) -> str:
        """Make a database, with the product's tables in it or with none, and give its SQLAlchemy URL."""

    def remove(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""

    def close(self) -> None:
        """Remove what all tests shared."""


def create_tables(url: str) -> None:
    """Put the product's tables into an empty database."""
    from inngest_celery.store.database import Database
    from inngest_celery.store.migrate import upgrade

    database = Database(url)
    upgrade(database)
    database.dispose()


def break_connections(url: str) -> None:
    """Have the server close everybody's connections to a database, as when it restarts."""
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for number in connection.exec_driver_sql(_OTHERS[engine.name]).scalars().all():
            try:
                connection.exec_driver_sql(_BREAK[engine.name].format(number))
            except sa.exc.OperationalError as error:
                # It is gone by itself; MariaDB minds.
                if error.orig is None or error.orig.args[0] != _UNKNOWN_THREAD:
                    raise


class Sqlite:
    """Files in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._template: Path | None = None
        self._numbers = count()

    def create(self, *, tables: bool) -> str:
        path = self._directory / f"{next(self._numbers)}.db"
        if tables:
            if self._template is None:
                self._template = self._directory / "template.db"
                create_tables(f"sqlite:///{self._template}")
            shutil.copyfile(self._template, path)
        return f"sqlite:///{path}"

    def remove(self, url: str) -> None:
        path = Path(sa.make_url(url).database or "")
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Pytest removes the directory."""


class _Server:
    """What PostgreSQL and MariaDB have in common."""

    list_databases: str
    list_connections: str

    def __init__(self, url: str) -> None:
        self._url = sa.make_url(url)
        self._numbers = count()
        self._engine = sa.create_engine(self._url, isolation_level="AUTOCOMMIT", pool_size=1)
        # Emptying a database is ten times quicker than making one.
        self._with_tables: dict[str, sa.Engine] = {}
        self._spare: list[str] = []
        for name in self._ask(self.list_databases, pattern=PREFIX.replace("_", r"\_") + "%"):
            if is_stale(name):
                self._drop(name)

    def _new_name(self) -> str:
        return f"{RUN_PREFIX}{next(self._numbers)}"

    def _url_of(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def _do(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def _ask(self, query: str, **values: str) -> list[str]:
        with self._engine.connect() as connection:
            return [str(value) for value in connection.execute(sa.text(query), values).scalars()]

    def create(self, *, tables: bool) -> str:
        if tables and self._spare:
            return self._url_of(self._spare.pop())
        name = self._new_name()
        self._make(name)
        if tables:
            create_tables(self._url_of(name))
            self._with_tables[name] = sa.create_engine(self._url_of(name), isolation_level="AUTOCOMMIT", pool_size=1)
        return self._url_of(name)

    def remove(self, url: str) -> None:
        name = sa.make_url(url).database or ""
        if name not in self._with_tables:
            self._drop(name)
            return
        self._disconnect_others(name)
        self._empty(name)
        self._spare.append(name)

    def close(self) -> None:
        for name, engine in self._with_tables.items():
            engine.dispose()
            self._drop(name)
        self._engine.dispose()

    def _empty(self, name: str) -> None:
        from inngest_celery.store.schema import metadata

        with self._with_tables[name].connect() as connection:
            for table in metadata.sorted_tables:
                connection.execute(sa.delete(table))

    def _disconnect_others(self, name: str) -> None:
        """End the connections that a test has left; an open transaction would hold its locks."""
        self._with_tables[name].dispose()
        for connection in self._ask(self.list_connections, name=name):
            self._kill(connection)

    def _make(self, name: str) -> None:
        raise NotImplementedError

    def _drop(self, name: str) -> None:
        raise NotImplementedError

    def _kill(self, connection: str) -> None:
        raise NotImplementedError


class Postgres(_Server):
    """Databases on PostgreSQL."""

    list_databases = "select datname from pg_database where datname like :pattern"
    list_connections = "select pid from pg_stat_activity where datname = :name"

    def _make(self, name: str) -> None:
        self._do(f'create database "{name}" template template0')
        # Nobody pulls this server's plug: a commit need not wait for the disk to outlive the processes that tests kill.
        self._do(f'alter database "{name}" set synchronous_commit = off')

    def _drop(self, name: str) -> None:
        self._do(f'drop database if exists "{name}" with (force)')

    def _kill(self, connection: str) -> None:
        self._do(f"select pg_terminate_backend({connection}, 5000)")


class MariaDB(_Server):
    """Databases on MariaDB or MySQL."""

    list_databases = "select schema_name from information_schema.schemata where schema_name like :pattern"
    list_connections = "select id from information_schema.processlist where db = :name"

    def _make(self, name: str) -> None:
        self._do(f"create database `{name}` character set utf8mb4")

    def _drop(self, name: str) -> None:
        # An open transaction would hold the tables' metadata locks, and the drop would wait for it.
        for connection in self._ask(self.list_connections, name=name):
            self._kill(connection)
        self._do(f"drop database if exists `{name}`")

    def _kill(self, connection: str) -> None:
        try:
            self._do(f"kill {connection}")
        except sa.exc.OperationalError as error:
            if error.orig is None or error.orig.args[0] != _UNKNOWN_THREAD:
                raise


def open_server(kind: str, directory: Path) -> DatabaseServer:
    """Connect to the server of this kind (``sqlite``, ``postgres``, ``mariadb``)."""
    match kind:
        case "sqlite":
            return Sqlite(directory)
        case "postgres":
            return Postgres(SERVICES[kind].url)
        case "mariadb":
            return MariaDB(SERVICES[kind].url)
    raise ValueError(f"no such database: {kind}")
