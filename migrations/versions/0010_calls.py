"""Calls of Celery code by their task id, which is their event's own id: for ``revoke``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None

_NAME, _TABLE = "inngest_event_by_call", "inngest_event"


def upgrade() -> None:
    # MySQL cannot take back half a migration, so this one can be done again.
    if not context.is_offline_mode() and _has_index():
        return
    calls = sa.text("name = 'inngest/function.invoked'")
    # MySQL has no indexes of some rows only.
    op.create_index(_NAME, _TABLE, ["external_id"], postgresql_where=calls, sqlite_where=calls)


def _has_index() -> bool:
    return any(found["name"] == _NAME for found in sa.inspect(op.get_bind()).get_indexes(_TABLE))
