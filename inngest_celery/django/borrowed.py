"""SQLAlchemy on a connection of Django's, inside of its transaction: what one writes the other commits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import sqlalchemy as sa
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from sqlalchemy import exc, pool

_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}


class _Borrowed:
    """A driver's connection that SQLAlchemy may use, but not end a transaction on, nor change, nor close."""

    def __init__(self, connection: Any) -> None:
        self._inngest_connection = connection

    def commit(self) -> None:
        """Django's business."""

    def rollback(self) -> None:
        """Django's business."""

    def close(self) -> None:
        """Django's business."""

    def create_function(self, *_arguments: object, **_options: object) -> None:
        """Django has its own functions on SQLite."""

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        return self._inngest_connection.cursor(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inngest_connection, name)


@contextmanager
def borrowed(wrapper: BaseDatabaseWrapper) -> Iterator[sa.Connection]:
    """Lend a SQLAlchemy connection that is part of Django's open transaction.

    Should a statement fail, Django is told that its transaction is broken.
    """
    with _engine(os.getpid(), wrapper.alias, wrapper.vendor).connect() as connection:
        try:
            yield connection
        except exc.DBAPIError:
            if wrapper.in_atomic_block:
                wrapper.set_rollback(True)
            raise


@cache
def _engine(_process: int, alias: str, vendor: str) -> sa.Engine:
    def connect() -> Any:
        wrapper = connections[alias]
        wrapper.ensure_connection()
        return _Borrowed(wrapper.connection)

    options: dict[str, Any] = {"use_native_hstore": False} if vendor == "postgresql" else {}
    return sa.create_engine(
        f"{_DRIVERS[vendor]}://", creator=connect, poolclass=pool.NullPool, pool_reset_on_return=None, **options
    )
