"""How long data is kept, what must not be deleted, and whose data it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_JSON = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    _create(
        "inngest_hold",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("run_id", sa.String(26), comment="this run"),
        sa.Column("function_id", sa.String(255), comment="or all runs of this function"),
        sa.Column("expression", _JSON, comment="or all runs of which this is true"),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("released_by", sa.String(100)),
        sa.Column("released_at", sa.BigInteger),
    )
    _create(
        "inngest_walk",
        sa.Column("name", sa.String(64), primary_key=True, comment="who goes through a table, as runs:2592000000"),
        sa.Column(
            "rules", sa.String(64), nullable=False, comment="hash of what it goes by; it begins anew when that changes"
        ),
        sa.Column("at", sa.BigInteger, nullable=False, comment="the time of the last row that it has looked at"),
        sa.Column("position", sa.String(64), nullable=False, comment="the id of that row"),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("arrived_at", sa.BigInteger, comment="when it last found nothing more to look at"),
        sa.Column("removed", sa.BigInteger, nullable=False, comment="how many rows it has deleted since it exists"),
    )
    _create(
        "inngest_subject",
        sa.Column("name", sa.String(64), primary_key=True, comment="as declared: email"),
        sa.Column("hash", sa.String(64), primary_key=True, comment="HMAC of name and value"),
        sa.Column("subject_id", sa.String(26), primary_key=True, comment="the event or run that has it"),
        sa.Index("inngest_subject_by_id", "subject_id"),
    )
    _create(
        "inngest_erasure",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column(
            "asked", sa.String(64), nullable=False, comment="HMAC of what was asked for; the same request has the same"
        ),
        sa.Column("mode", sa.String(8), nullable=False, comment="erase or redact"),
        sa.Column(
            "cancels", sa.Boolean, nullable=False, comment="whether runs that have not ended are cancelled first"
        ),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("planned_at", sa.BigInteger, comment="when its plan was complete; without it, nothing is erased"),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("receipt", _JSON, comment="JSON: what was done, with no value of the person's"),
        sa.Index("inngest_erasure_by_request", "asked"),
    )
    _create(
        "inngest_erasure_item",
        sa.Column("erasure_id", sa.String(26), primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True, comment="run, event, memo or held"),
        sa.Column("subject_id", sa.String(26), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True, comment="of a memo: its step; else empty"),
        sa.Column("counts", _JSON, comment="JSON: how many rows of each table went with it; empty until that is done"),
        sa.Column("done_at", sa.BigInteger),
    )


def _create(name: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        *columns,
        if_not_exists=True,
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
