"""What goes wrong with a database, in the same words and codes for every kind of database.

::

    DatabaseError         code, and what to do; database_unreachable and others
    └── MigrationNeeded   database_not_migrated
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from inngest_celery.store.database import Database, DatabaseError

# SQLSTATEs: undefined table, column and schema.
_POSTGRES_TABLES = ("42P01", "42703", "3F000")
# Classes: connection, authorisation, operator intervention; and a database that does not exist.
_POSTGRES_CONNECTION = ("08", "28", "57P", "3D000")
_MYSQL_TABLES = (1054, 1146)  # unknown column, no such table
# Access denied (two), unknown database, too many connections; and all of the client library's own.
_MYSQL_CONNECTION = (1040, 1044, 1045, 1049, *range(2000, 2100))
_SQLITE_TABLES = ("no such table", "no such column", "has no column named")
_SQLITE_CONNECTION = ("unable to open database file", "file is not a database", "readonly database")


class MigrationNeeded(DatabaseError):
    """The database lacks tables or columns. ``code`` is ``database_not_migrated``."""

    def __init__(self, database: Database, problem: str = "has no tables of inngest_celery, or old ones") -> None:
        super().__init__(
            "database_not_migrated",
            f"The database {shown(database.url)} {problem}. Run `celery -A proj inngest migrate` (or "
            "`inngest-celery -A proj migrate`) with proj as your Celery app, once for each release; then start again.",
        )


def unreachable(database: Database, error: Exception) -> DatabaseError:
    """Give the error for a database that does not answer."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    return DatabaseError(
        "database_unreachable",
        f"The database {shown(database.url)} cannot be used: {reason}. Check inngest_database_url (host, port, user, "
        "password, name), and that the server runs and lets this machine in.",
    )


@contextmanager
def explained(database: Database) -> Iterator[None]:
    """Turn the driver's errors about missing tables and lost servers into ours; all others pass.

    Raises:
        MigrationNeeded: a table or column of ours is missing.
        DatabaseError: ``database_unreachable``.
    """
    try:
        yield
    except DBAPIError as error:
        if lacks_tables(error):
            raise MigrationNeeded(database) from error
        if is_lost(error):
            raise unreachable(database, error) from error
        raise
    except PoolTimeoutError as error:
        raise unreachable(database, error) from error
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        # The directory of a SQLite file.
        raise unreachable(database, error) from error


def shown(url: sa.URL) -> str:
    """Give a URL as it may be shown: without its password."""
    return url.render_as_string(hide_password=True)


def lacks_tables(error: DBAPIError) -> bool:
    """Tell whether an error of any database says that a table or column does not exist."""
    return _is(error, _POSTGRES_TABLES, _MYSQL_TABLES, _SQLITE_TABLES)


def is_lost(error: DBAPIError) -> bool:
    """Tell whether an error of any database says that the connection was lost, or that none can be had."""
    if error.connection_invalidated or _is(error, _POSTGRES_CONNECTION, _MYSQL_CONNECTION, _SQLITE_CONNECTION):
        return True
    # psycopg knows no state for a server that it did not reach.
    return type(error.orig).__module__.startswith("psycopg") and getattr(error.orig, "sqlstate", "") is None


def _is(error: DBAPIError, states: tuple[str, ...], numbers: tuple[int, ...], texts: tuple[str, ...]) -> bool:
    number = error.orig.args[0] if error.orig is not None and error.orig.args else None
    if isinstance(number, int):
        return number in numbers
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(states)
    return any(text in str(error.orig) for text in texts)
