"""Percentages of calls that move from old code to functions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inngest_cutover",
        sa.Column("name", sa.String(255), primary_key=True, comment="the old code's: a task, or what makes a canvas"),
        sa.Column("percent", sa.Double, nullable=False, comment="of the calls, how many the function takes"),
        sa.Column("shadow", sa.Double, nullable=False, comment="of the others, how many run in its shadow"),
        sa.Column("set_at", sa.BigInteger, nullable=False),
        if_not_exists=True,
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
