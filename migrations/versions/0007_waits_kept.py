"""What a step has waited for, and pages of runs and events by any of their times."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INDEXES = (
    ("inngest_event_by_time", "inngest_event", ["received_at", "id"]),
    ("inngest_run_by_start", "inngest_run", ["started_at", "id"]),
    ("inngest_run_by_end", "inngest_run", ["ended_at", "id"]),
)


def upgrade() -> None:
    # MySQL cannot take back half a migration, so this one can be done again.
    if context.is_offline_mode() or not _has_column("inngest_step", "waited"):
        text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
        op.add_column("inngest_step", sa.Column("waited", text, comment="JSON: what it waited for, and until when"))
    for name, table, columns in _INDEXES:
        if context.is_offline_mode() or not _has_index(table, name):
            op.create_index(name, table, columns)


def _has_column(table: str, column: str) -> bool:
    return any(found["name"] == column for found in sa.inspect(op.get_bind()).get_columns(table))


def _has_index(table: str, name: str) -> bool:
    return any(found["name"] == name for found in sa.inspect(op.get_bind()).get_indexes(table))
