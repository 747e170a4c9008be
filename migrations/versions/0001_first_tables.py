"""The tables of version 0.1: events, functions, runs, steps, jobs, waits and limits.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _table(
        "inngest_event",
        sa.Column("id", sa.String(26), primary_key=True, comment="internal id, a ULID"),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column(
            "external_id", sa.String(512), nullable=False, comment="the sender's id, for idempotency; else the own id"
        ),
        sa.Column("data", _json(), nullable=False, comment="JSON object"),
        sa.Column("ts", sa.BigInteger, nullable=False, comment="when it happened, as the sender says"),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )
    _index("inngest_event_by_name", "inngest_event", "name", "received_at")
    _table(
        "inngest_function",
        sa.Column("id", sa.String(255), primary_key=True, comment="app id and function id, joined by a hyphen"),
        sa.Column("app_id", sa.String(255), nullable=False),
        sa.Column("config", _json(), nullable=False, comment="the function's configuration as it stands on the wire"),
        sa.Column("checksum", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("task_name", sa.String(255), nullable=False),
        sa.Column("queue", sa.String(255), nullable=False),
        sa.Column("archived_at", sa.BigInteger),
        sa.Column("paused", sa.String(8), comment="what becomes of new runs: skip, hold or drain; empty: they start"),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    _table(
        "inngest_trigger",
        sa.Column("function_id", sa.String(255), primary_key=True),
        sa.Column("position", sa.SmallInteger, primary_key=True),
        sa.Column("event_name", sa.String(255), nullable=False, comment="exact, or ending in /* or .*"),
        sa.Column("expression", _json()),
    )
    _index("inngest_trigger_by_name", "inngest_trigger", "event_name")
    _table(
        "inngest_run",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("function_id", sa.String(255), nullable=False),
        sa.Column("event_id", sa.String(26), nullable=False, comment="the event that started it"),
        sa.Column("idempotency_key", sa.String(64), comment="one run for one function and event id"),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("reason", sa.String(255), comment="why it was skipped or cancelled"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("output", _json(), comment="JSON: the result, or the error of a failed run"),
        sa.Column("parent_run_id", sa.String(26), comment="the run whose invoke step waits for this one"),
        sa.Column("parent_step_id", sa.String(64)),
        sa.Column(
            "celery", _json(), comment="JSON: the Celery task id and callbacks of a run started by delay() or a canvas"
        ),
        sa.Column("singleton_key", sa.String(64), comment="of all runs with the same one, only this one has not ended"),
        sa.Column("batch", sa.SmallInteger, comment="how many events started it, if they were collected"),
        sa.UniqueConstraint("idempotency_key", name="inngest_run_once"),
        sa.UniqueConstraint("singleton_key", name="inngest_run_alone"),
    )
    _index("inngest_run_by_event", "inngest_run", "event_id")
    _index("inngest_run_by_function", "inngest_run", "function_id", "id")
    _index("inngest_run_by_status", "inngest_run", "status", "id")
    _table(
        "inngest_run_event",
        sa.Column("run_id", sa.String(26), primary_key=True, comment="a run, started or still to be"),
        sa.Column("event_id", sa.String(26), primary_key=True, comment="one of several events that it is for"),
    )
    _index("inngest_run_event_by_event", "inngest_run_event", "event_id")
    _table(
        "inngest_step",
        sa.Column("run_id", sa.String(26), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True, comment="hash of the step's id"),
        sa.Column("name", sa.String(512), nullable=False, comment="the id as the author wrote it"),
        sa.Column("op", sa.String(32), nullable=False),
        sa.Column("memo", _json(), nullable=False, comment="what the function sees: {data}, {error}, an event or null"),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("attempt", sa.SmallInteger, nullable=False),
        sa.Column("queued_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("worker", sa.String(255)),
        sa.Column("task_id", sa.String(64)),
    )
    _table(
        "inngest_attempt",
        sa.Column("run_id", sa.String(26), primary_key=True),
        sa.Column("step_id", sa.String(64), primary_key=True, comment="empty for the function's own code"),
        sa.Column("job_key", sa.String(64), primary_key=True, comment="the job that it was made under"),
        sa.Column("fence", sa.Integer, primary_key=True),
        sa.Column("attempt", sa.SmallInteger, nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("error", _json(), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("retry_at", sa.BigInteger),
        sa.Column("worker", sa.String(255)),
        sa.Column("task_id", sa.String(64)),
    )
    _table(
        "inngest_job",
        sa.Column(
            "subject_id", sa.String(64), primary_key=True, comment="a run; a route job's event; a cron's function"
        ),
        sa.Column("key", sa.String(64), primary_key=True, comment="the step's hash, or a word for other kinds"),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(512), nullable=False, comment="the step's name, shown in Flower"),
        sa.Column("function_id", sa.String(255), nullable=False),
        sa.Column("task_name", sa.String(255), nullable=False),
        sa.Column("queue", sa.String(255), nullable=False),
        sa.Column("opts", _json(), comment="JSON: what the job needs besides the run's state"),
        sa.Column("flow", _json(), comment="JSON: the limits that hold for it, by key, and its place in line"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column(
            "sweep_at",
            sa.BigInteger,
            nullable=False,
            comment="when a sweep should look at it, unless it is done by then",
        ),
        sa.Column("hints", sa.SmallInteger, nullable=False),
        sa.Column("attempt", sa.SmallInteger, nullable=False),
        sa.Column("leased_by", sa.String(255)),
        sa.Column("leased_until", sa.BigInteger),
        sa.Column(
            "fence", sa.Integer, nullable=False, comment="raised by every claim; a late result carries an old one"
        ),
    )
    _index("inngest_job_by_sweep", "inngest_job", "sweep_at")
    _table(
        "inngest_wait",
        sa.Column("run_id", sa.String(26), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True, comment="the step's hash; cancel:N for a cancellation"),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("event_name", sa.String(512), nullable=False),
        sa.Column(
            "anchor", sa.String(64), nullable=False, comment="hash of a path and value that a match must have; or empty"
        ),
        sa.Column("expression", _json()),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    _index("inngest_wait_by_event", "inngest_wait", "event_name", "anchor")
    _table(
        "inngest_topic",
        sa.Column("event_name", sa.String(512), primary_key=True, comment="an event name that some run has waited for"),
        sa.Column("paths", _json(), nullable=False, comment="JSON list of the anchor paths in use"),
    )
    _table(
        "inngest_limit",
        sa.Column("function_id", sa.String(255), primary_key=True),
        sa.Column(
            "policy", sa.String(64), primary_key=True, comment="which of the function's limits, such as concurrency.0"
        ),
        sa.Column("config", _json(), nullable=False, comment="JSON: what holds instead of what the code says"),
        sa.Column("expires_at", sa.BigInteger, comment="when what the code says holds again"),
        sa.Column("set_at", sa.BigInteger, nullable=False),
    )
    _table(
        "inngest_cost",
        sa.Column("run_id", sa.String(26), primary_key=True),
        sa.Column("step_id", sa.String(64), primary_key=True),
        sa.Column(
            "budget", sa.String(300), primary_key=True, comment="the budget that it counts against, with its key"
        ),
        sa.Column("amount", sa.Double, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    _index("inngest_cost_by_budget", "inngest_cost", "budget", "at")
    _table(
        "inngest_lease",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )


def _json() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


# MySQL cannot take back half a migration. So this one can be done again: what exists is left alone.


def _table(name: str, *items: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        *items,
        if_not_exists=True,
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )


def _index(name: str, table: str, *columns: str) -> None:
    if not context.is_offline_mode() and any(
        index["name"] == name for index in sa.inspect(op.get_bind()).get_indexes(table)
    ):
        return
    op.create_index(name, table, columns)
