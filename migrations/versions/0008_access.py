"""Users, their sessions, API tokens, and the log of what was done by whom."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OPTIONS: Any = {
    "if_not_exists": True,
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}
_INDEXES = (
    ("inngest_session_by_user", "inngest_session", ["user_name"]),
    ("inngest_session_by_expiry", "inngest_session", ["expires_at"]),
    ("inngest_login_attempts_by_end", "inngest_login_attempts", ["until"]),
    ("inngest_audit_by_actor", "inngest_audit", ["actor", "id"]),
    ("inngest_audit_by_action", "inngest_audit", ["action", "id"]),
    ("inngest_audit_by_subject", "inngest_audit", ["subject", "id"]),
)


def upgrade() -> None:
    _users()
    _tokens()
    _audit()
    _indexes()


def _users() -> None:
    op.create_table(
        "inngest_user",
        sa.Column("name", sa.String(100), primary_key=True, comment="in lower case"),
        sa.Column("role", sa.String(16), nullable=False, comment="viewer, operator or admin"),
        sa.Column("password", sa.String(255), comment="Argon2 hash; empty: the identity provider lets this one in"),
        sa.Column("external", sa.String(64), comment="hash of the identity provider's name and its id of this user"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
        sa.UniqueConstraint("external", name="inngest_user_external"),
        **_OPTIONS,
    )
    op.create_table(
        "inngest_session",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False, comment="of the cookie's value, which is stored nowhere"),
        sa.Column("user_name", sa.String(100), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False, comment="unless it is used before"),
        sa.Column("ends_at", sa.BigInteger, nullable=False, comment="however much it is used"),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(255), nullable=False, comment="the browser, as it says"),
        sa.UniqueConstraint("hash", name="inngest_session_hash"),
        **_OPTIONS,
    )
    op.create_table(
        "inngest_login_attempts",
        sa.Column("id", sa.String(64), primary_key=True, comment="hash of a name, an address, or both"),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False, comment="when counting begins anew"),
        **_OPTIONS,
    )


def _tokens() -> None:
    op.create_table(
        "inngest_token",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False, comment="of the token, which is stored nowhere"),
        sa.Column("name", sa.String(100), nullable=False, comment="what it is for"),
        sa.Column("scopes", sa.String(255), nullable=False, comment="what it allows, separated by spaces"),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("used_at", sa.BigInteger, comment="to the minute"),
        sa.Column("revoked_at", sa.BigInteger),
        sa.UniqueConstraint("hash", name="inngest_token_hash"),
        **_OPTIONS,
    )


def _audit() -> None:
    op.create_table(
        "inngest_audit",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(100), nullable=False, comment="the user's or token's name"),
        sa.Column("kind", sa.String(16), nullable=False, comment="how the actor proved to be it"),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False, comment="as run.cancel"),
        sa.Column("subject", sa.String(255), nullable=False, comment="what it is done to"),
        sa.Column("details", _json(), nullable=False, comment="JSON object; never a payload"),
        **_OPTIONS,
    )
    op.create_table(
        "inngest_audit_outcome",
        sa.Column("id", sa.String(26), primary_key=True, comment="the entry in inngest_audit"),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False, comment="done, or the code of the error"),
        sa.Column("details", _json(), nullable=False, comment="JSON object; never a payload"),
        **_OPTIONS,
    )


def _indexes() -> None:
    for name, table, columns in _INDEXES:
        # MySQL cannot take back half a migration, so this one can be done again.
        if context.is_offline_mode() or not _has_index(table, name):
            op.create_index(name, table, columns)


def _has_index(table: str, name: str) -> bool:
    return any(found["name"] == name for found in sa.inspect(op.get_bind()).get_indexes(table))


def _json() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
