"""Which run a run repeats."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # MySQL cannot take back half a migration, so this one can be done again.
    if context.is_offline_mode() or not _has("inngest_run", "original_run_id"):
        op.add_column("inngest_run", sa.Column("original_run_id", sa.String(26), comment="the run that it repeats"))


def _has(table: str, column: str) -> bool:
    return any(found["name"] == column for found in sa.inspect(op.get_bind()).get_columns(table))
