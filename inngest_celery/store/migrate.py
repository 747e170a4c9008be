"""Bring the tables into being and up to date, with Alembic; tell whether they are."""

from __future__ import annotations

import enum
import io
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from inngest_celery.store.database import Database, DatabaseError
from inngest_celery.store.errors import MigrationNeeded, explained

VERSION_TABLE = "inngest_alembic_version"
LOCK = "inngest_migrate"
_LOCK_SECONDS = 600


class MigrationState(enum.StrEnum):
    """How the tables stand to this release: ``AHEAD`` were made by a newer one."""

    MISSING = "missing"
    BEHIND = "behind"
    CURRENT = "current"
    AHEAD = "ahead"


def upgrade(database: Database) -> None:
    """Bring the tables to this release's state, making all that is missing. Two at once are safe: one waits.

    Raises:
        DatabaseError: the database cannot be reached, or another process has been migrating it for ten minutes.
    """
    with explained(database), database.engine.connect() as connection:
        # On PostgreSQL and SQLite all of it is one transaction; MySQL commits every statement by itself.
        transaction = connection.begin()
        _lock(connection, database)
        try:
            _create_schema(connection, database)
            command.upgrade(_config(connection=connection), "head")
            transaction.commit()
        finally:
            _unlock(connection, database)


def state_of(database: Database) -> MigrationState:
    """Tell how the database's tables stand to this release.

    Raises:
        DatabaseError: the database cannot be reached.
    """
    with explained(database), database.autocommit() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        heads = context.get_current_heads()
    if not heads:
        return MigrationState.MISSING
    script = ScriptDirectory(str(_location()))
    if set(heads) == set(script.get_heads()):
        return MigrationState.CURRENT
    known = {revision.revision for revision in script.walk_revisions()}
    return MigrationState.BEHIND if known.issuperset(heads) else MigrationState.AHEAD


def require_migrated(database: Database) -> MigrationState:
    """Give the state of the tables; what a newer release has made will do.

    Raises:
        MigrationNeeded: they are missing or old.
        DatabaseError: the database cannot be reached.
    """
    state = state_of(database)
    if state is MigrationState.MISSING:
        raise MigrationNeeded(database, "has no tables of inngest_celery")
    if state is MigrationState.BEHIND:
        raise MigrationNeeded(database, "has tables of an older release of inngest_celery")
    return state


def script_of(database: Database) -> str:
    """Give the SQL that makes all tables in an empty database, for those who may not let a program do it."""
    output = io.StringIO()
    if database.schema:
        name = _quoted(database)
        output.write(f"CREATE SCHEMA IF NOT EXISTS {name};\n\nSET search_path TO {name};\n\n")
    command.upgrade(_config(dialect=database.url.get_backend_name(), output=output), "head", sql=True)
    return output.getvalue()


def _config(
    *, connection: sa.Connection | None = None, dialect: str | None = None, output: io.StringIO | None = None
) -> Config:
    config = Config(output_buffer=output, attributes={"connection": connection, "dialect": dialect})
    config.set_main_option("script_location", str(_location()).replace("%", "%%"))
    return config


def _location() -> Path:
    """The folder of the migrations: in the package when it came as a wheel, beside it in a clone."""
    package = Path(__file__).parents[1]
    shipped = package / "_migrations"
    return shipped if shipped.is_dir() else package.parent / "migrations"


def _lock(connection: sa.Connection, database: Database) -> None:
    """Let nobody else migrate. SQLite needs no lock of ours: the transaction is one."""
    if database.dialect == "postgresql":
        # Given back at the end of the transaction.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": LOCK})
    elif database.dialect == "mysql":
        values = {"name": _lock_name(database), "seconds": _LOCK_SECONDS}
        if not connection.execute(sa.text("SELECT GET_LOCK(:name, :seconds)"), values).scalar_one():
            raise DatabaseError(
                "database_migration_locked",
                "Another process has been migrating this database for ten minutes. Look at what it does "
                "(SHOW PROCESSLIST), then try again.",
            )


def _unlock(connection: sa.Connection, database: Database) -> None:
    if database.dialect == "mysql" and not connection.invalidated:
        if connection.in_transaction():
            connection.rollback()
        connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), {"name": _lock_name(database)})


def _lock_name(database: Database) -> str:
    # Such locks belong to the whole server, and their names have at most 64 characters.
    return f"{LOCK}:{database.url.database}"[:64]


def _create_schema(connection: sa.Connection, database: Database) -> None:
    if database.schema:
        connection.execute(sa.schema.CreateSchema(database.schema, if_not_exists=True))


def _quoted(database: Database) -> str:
    return str(database.url.get_dialect()().identifier_preparer.quote_schema(database.schema or ""))
