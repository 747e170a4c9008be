"""A wait knows what its function had got already, so that no event is taken twice, by one wait after the other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0018"
down_revision = "0015"
branch_labels = None
depends_on = None

_COLUMN = sa.Column(
    "seen", sa.Integer, nullable=False, server_default="0", comment="how many outcomes its function knew then"
)


def upgrade() -> None:
    # MySQL cannot take back half a migration, so this one can be done again.
    if context.is_offline_mode() or not _has_column():
        op.add_column("inngest_wait", _COLUMN)


def _has_column() -> bool:
    return any(found["name"] == _COLUMN.name for found in sa.inspect(op.get_bind()).get_columns("inngest_wait"))
