"""Apps that are called over the wire, and what an event may carry besides its data."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inngest_app",
        sa.Column("id", sa.String(255), primary_key=True, comment="the name that its functions' ids begin with"),
        sa.Column("url", sa.String(1024), nullable=False, comment="where it is served; empty if it dials in"),
        sa.Column("method", sa.String(16), nullable=False, comment="how it is reached: serve or connect"),
        sa.Column("sdk", sa.String(64), nullable=False, comment="language and version of its SDK, as py:v0.5.19"),
        sa.Column("framework", sa.String(64)),
        sa.Column("platform", sa.String(64)),
        sa.Column("version", sa.String(255), comment="its own version, as it says"),
        sa.Column("checksum", sa.String(64), nullable=False, comment="of what it registered last"),
        sa.Column("error", _json(), comment="why its last synchronisation failed"),
        sa.Column("discovered", sa.Boolean, nullable=False, comment="whether it was found, not given"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("synced_at", sa.BigInteger, nullable=False),
        sa.Column("archived_at", sa.BigInteger),
        if_not_exists=True,
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    _add_column("inngest_event", sa.Column("extra", _json(), comment="JSON: user and v, if the sender gave them"))


def _json() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def _add_column(table: str, column: sa.Column[str]) -> None:
    """Add a column, unless a migration that MySQL could not take back has added it before."""
    if not context.is_offline_mode() and any(
        found["name"] == column.name for found in sa.inspect(op.get_bind()).get_columns(table)
    ):
        return
    op.add_column(table, column)
