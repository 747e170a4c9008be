"""Insert that leaves existing rows alone: the one statement whose spelling differs between the databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, skipping those whose key is taken."""
    if not rows:
        return
    statement: Any
    if connection.dialect.name == "postgresql":
        statement = postgresql.insert(table).on_conflict_do_nothing()
    elif connection.dialect.name == "sqlite":
        statement = sqlite.insert(table).on_conflict_do_nothing()
    else:
        # INSERT IGNORE would also swallow values that do not fit; an update that changes nothing skips only duplicates.
        key = next(iter(table.primary_key.columns)).name
        statement = mysql.insert(table).on_duplicate_key_update({key: sa.literal_column(key)})
    connection.execute(statement, rows)
