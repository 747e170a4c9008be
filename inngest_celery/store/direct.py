"""PostgreSQL statements that are handed to its driver as they stand.

What SQLAlchemy does for a statement costs more CPU than the statement itself. The few that every step of every run
sends go past it: on a connection of its pool, with its errors, and nothing in between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import exc

from inngest_celery.store.database import Database

_PARAMETER = re.compile(r"%\((\w+)\)s")


class Statement:
    """A statement with named parameters, sent in autocommit: it is a transaction of its own.

    Args:
        text: the statement, its parameters written ``%(name)s``.
    """

    def __init__(self, text: str) -> None:
        self._names: list[str] = []
        self._text = _PARAMETER.sub(self._number, text)
        # The driver takes bytes for a statement that nobody has put together from what came from outside.
        self._query = self._text.encode()

    def _number(self, match: re.Match[str]) -> str:
        """Write a parameter as the server does, so that the driver need not look for it at every call."""
        name = match[1]
        if name not in self._names:
            self._names.append(name)
        return f"${self._names.index(name) + 1}"

    def rows(self, database: Database, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Send it and give what it answers.

        Raises:
            sqlalchemy.exc.DBAPIError: as SQLAlchemy would have raised it.
        """
        # Only whoever has a PostgreSQL comes here, and has the driver too.
        import psycopg

        values = [parameters[name] for name in self._names]
        try:
            lent = database.lend()
        except psycopg.Error as error:
            raise self._explained(error, values, lost=False) from error
        connection: Any = lent.driver_connection
        try:
            rows: list[tuple[Any, ...]] = psycopg.RawCursor(connection).execute(self._query, values).fetchall()
        except psycopg.Error as error:
            lost = bool(connection.closed)
            if lost:
                # The others that wait in the pool are as old as this one.
                lent.invalidate(error)
                database.engine.dispose()
            lent.close()
            raise self._explained(error, values, lost=lost) from error
        except BaseException:
            # A time limit, say: nobody knows what the server is about to answer on it.
            lent.invalidate()
            lent.close()
            raise
        database.give_back(lent)
        return rows

    def row(self, database: Database, parameters: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Send it and give the first row that it answers, if there is one."""
        rows = self.rows(database, parameters)
        return rows[0] if rows else None

    def _explained(self, error: Exception, values: list[Any], *, lost: bool) -> BaseException:
        """Give the error that SQLAlchemy would have made of the driver's."""
        import psycopg

        return exc.DBAPIError.instance(self._text, tuple(values), error, psycopg.Error, connection_invalidated=lost)
