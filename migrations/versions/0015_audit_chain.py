"""The chain of the audit log, and event keys.

What stands in the log already is chained here, as found: it is vouched for from now on.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op

from inngest_celery.store import audit_chain

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_OPTIONS: Any = {
    "if_not_exists": True,
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def upgrade() -> None:
    op.create_table(
        "inngest_audit_link",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False, comment="from 1, without gaps"),
        sa.Column("kind", sa.String(16), nullable=False, comment="what its row is, and whether it was there before"),
        sa.Column("id", sa.String(26), nullable=False, comment="of the entry"),
        sa.Column("key", sa.String(16), nullable=False, comment="which key the hash was made with; empty: none"),
        sa.Column("hash", sa.String(64), nullable=False, comment="of the row, and of the hash before"),
        sa.UniqueConstraint("id", "kind", name="inngest_audit_link_row"),
        **_OPTIONS,
    )
    op.create_table(
        "inngest_audit_head",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False, comment="of the newest link"),
        sa.Column("key", sa.String(16), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        **_OPTIONS,
    )
    _keys()
    if not context.is_offline_mode():
        # A script is for an empty database.
        while audit_chain.chain_found(op.get_bind()):
            pass


def _keys() -> None:
    op.create_table(
        "inngest_key",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False, comment="event or signing"),
        sa.Column("hash", sa.String(64), nullable=False, comment="of the key, which is stored nowhere"),
        sa.Column("name", sa.String(100), nullable=False, comment="what it is for"),
        sa.Column("scopes", sa.Text, nullable=False, comment="JSON list of event names and globs; empty: all"),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("used_at", sa.BigInteger, comment="to the minute"),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("replaces", sa.String(26), comment="the key that it was made to replace"),
        sa.UniqueConstraint("hash", name="inngest_key_hash"),
        **_OPTIONS,
    )
