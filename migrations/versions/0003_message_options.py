"""What Celery code gives a call besides its arguments is kept for the messages of its run.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    column = sa.Column("message", json, comment="JSON: the priority and headers that its messages carry, if any")
    # MySQL cannot take back half a migration, so this one can be done again.
    if context.is_offline_mode() or not _has("inngest_job", "message"):
        op.add_column("inngest_job", column)


def _has(table: str, column: str) -> bool:
    return any(found["name"] == column for found in sa.inspect(op.get_bind()).get_columns(table))
