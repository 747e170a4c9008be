"""A new, empty database for each test: a copied file, a copied template, or a database made from nothing."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from tests.services import PREFIX, RUN_PREFIX, SERVICES, is_stale

_UNKNOWN_THREAD = 1094


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

    def __init__(self, url: str) -> None:
        self._url = sa.make_url(url)
        self._numbers = count()
        self._engine = sa.create_engine(self._url, isolation_level="AUTOCOMMIT", pool_size=1)
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

    def _drop(self, name: str) -> None:
        raise NotImplementedError

    def remove(self, url: str) -> None:
        self._drop(sa.make_url(url).database or "")


class Postgres(_Server):
    """Databases copied from a template, which is made once a process."""

    list_databases = "select datname from pg_database where datname like :pattern"
    _template: str | None = None

    def create(self, *, tables: bool) -> str:
        name = self._new_name()
        source = self._template_with_tables() if tables else "template0"
        self._do(f'create database "{name}" template "{source}"')
        return self._url_of(name)

    def close(self) -> None:
        if self._template is not None:
            self._drop(self._template)
        self._engine.dispose()

    def _template_with_tables(self) -> str:
        if self._template is None:
            self._template = self._new_name()
            self._do(f'create database "{self._template}"')
            create_tables(self._url_of(self._template))
        return self._template

    def _drop(self, name: str) -> None:
        self._do(f'drop database if exists "{name}" with (force)')


class MariaDB(_Server):
    """Databases made from nothing: there are no templates, and making the tables is quick."""

    list_databases = "select schema_name from information_schema.schemata where schema_name like :pattern"

    def create(self, *, tables: bool) -> str:
        name = self._new_name()
        self._do(f"create database `{name}` character set utf8mb4")
        if tables:
            create_tables(self._url_of(name))
        return self._url_of(name)

    def close(self) -> None:
        self._engine.dispose()

    def _drop(self, name: str) -> None:
        # An open transaction would hold the tables' metadata locks, and the drop would wait for it.
        for connection in self._ask("select id from information_schema.processlist where db = :name", name=name):
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
