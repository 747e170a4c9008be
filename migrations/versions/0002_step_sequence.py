"""Each recorded step gets its place in its run, because times do not order what ends in the same millisecond.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The release before goes on inserting steps without it: those have 0, and the order of their times among them.
    column = sa.Column(
        "seq", sa.Integer, nullable=False, server_default="0", comment="its place in the order of completion"
    )
    # MySQL cannot take back half a migration, so this one can be done again.
    if context.is_offline_mode() or not _has("inngest_step", "seq"):
        op.add_column("inngest_step", column)


def _has(table: str, column: str) -> bool:
    return any(found["name"] == column for found in sa.inspect(op.get_bind()).get_columns(table))
