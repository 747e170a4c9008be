"""Requests to cancel many runs at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inngest_cancellation",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("app_id", sa.String(255), nullable=False),
        sa.Column("function_id", sa.String(255), nullable=False, comment="whose runs"),
        sa.Column("started_after", sa.BigInteger, comment="runs that were created at this time or later"),
        sa.Column("started_before", sa.BigInteger, nullable=False, comment="runs that were created earlier"),
        sa.Column("expression", _json(), comment="over the event that started the run"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("position", sa.String(26), comment="the last run that was looked at"),
        sa.Column("cancelled", sa.Integer, nullable=False, comment="how many runs it has cancelled"),
        sa.Column("ended_at", sa.BigInteger),
        if_not_exists=True,
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def _json() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
