"""The tables. Every time is an integer: milliseconds since 1970. JSON is kept as text, exactly as it was recorded.

Columns that may hold what users send or functions give are ``Sealed``: encrypted, if there is a key.

What must still happen is a row of ``job``; what has happened to a step is a row of ``step``, written once.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from inngest_celery.store.sealed import Json, Sealed

metadata = sa.MetaData()

ULID_LENGTH = 26
Time = sa.BigInteger
# MySQL compares text without regard to case by default; ids and names are exact everywhere.
_TABLE: Any = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}


# As literals: an index of some rows serves only a query that says so, and a parameter may be anything.
_INVOKED = "'inngest/function.invoked'"
_CALLS = f"name = {_INVOKED}"


def _text(length: int) -> sa.String:
    return sa.String(length)


event = sa.Table(
    "inngest_event",
    metadata,
    sa.Column("id", _text(ULID_LENGTH), primary_key=True, comment="internal id, a ULID"),
    sa.Column("name", _text(512), nullable=False),
    sa.Column("external_id", _text(512), nullable=False, comment="the sender's id, for idempotency; else the own id"),
    sa.Column("data", Sealed("event.data"), nullable=False, comment="JSON object"),
    sa.Column("ts", Time, nullable=False, comment="when it happened, as the sender says"),
    sa.Column("received_at", Time, nullable=False),
    sa.Column("extra", Sealed("event.extra"), comment="JSON: user and v, if the sender gave them"),
    sa.Index("inngest_event_by_name", "name", "received_at"),
    sa.Index("inngest_event_by_time", "received_at", "id"),
    # Of all events, calls alone are looked for by their sender's id; MySQL has no indexes of some rows only.
    sa.Index("inngest_event_by_call", "external_id", postgresql_where=sa.text(_CALLS), sqlite_where=sa.text(_CALLS)),
    **_TABLE,
)


def is_call() -> sa.ColumnElement[bool]:
    """Tell calls from other events, in the words that their index has."""
    return sa.literal_column("inngest_event.name") == sa.literal_column(_INVOKED)


app = sa.Table(
    "inngest_app",
    metadata,
    sa.Column("id", _text(255), primary_key=True, comment="the name that its functions' ids begin with"),
    sa.Column("url", _text(1024), nullable=False, comment="where it is served; empty if it dials in"),
    sa.Column("method", _text(16), nullable=False, comment="how it is reached: serve or connect"),
    sa.Column("sdk", _text(64), nullable=False, comment="language and version of its SDK, as py:v0.5.19"),
    sa.Column("framework", _text(64)),
    sa.Column("platform", _text(64)),
    sa.Column("version", _text(255), comment="its own version, as it says"),
    sa.Column("checksum", _text(64), nullable=False, comment="of what it registered last"),
    sa.Column("error", Json, comment="why its last synchronisation failed"),
    sa.Column("discovered", sa.Boolean, nullable=False, comment="whether it was found, not given"),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("synced_at", Time, nullable=False),
    sa.Column("archived_at", Time),
    **_TABLE,
)

function = sa.Table(
    "inngest_function",
    metadata,
    sa.Column("id", _text(255), primary_key=True, comment="app id and function id, joined by a hyphen"),
    sa.Column("app_id", _text(255), nullable=False),
    sa.Column("config", Json, nullable=False, comment="the function's configuration as it stands on the wire"),
    sa.Column("checksum", _text(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("task_name", _text(255), nullable=False),
    sa.Column("queue", _text(255), nullable=False),
    sa.Column("archived_at", Time),
    sa.Column("paused", _text(8), comment="what becomes of new runs: skip, hold or drain; empty: they start"),
    sa.Column("updated_at", Time, nullable=False),
    **_TABLE,
)

trigger = sa.Table(
    "inngest_trigger",
    metadata,
    sa.Column("function_id", _text(255), primary_key=True),
    sa.Column("position", sa.SmallInteger, primary_key=True),
    sa.Column("event_name", _text(255), nullable=False, comment="exact, or ending in /* or .*"),
    sa.Column("expression", Json),
    sa.Index("inngest_trigger_by_name", "event_name"),
    **_TABLE,
)

run = sa.Table(
    "inngest_run",
    metadata,
    sa.Column("id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("function_id", _text(255), nullable=False),
    sa.Column("event_id", _text(ULID_LENGTH), nullable=False, comment="the event that started it"),
    sa.Column("idempotency_key", _text(64), comment="one run for one function and event id"),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("reason", _text(255), comment="why it was skipped or cancelled"),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("started_at", Time),
    sa.Column("ended_at", Time),
    sa.Column("output", Sealed("run.output"), comment="JSON: the result, or the error of a failed run"),
    sa.Column("parent_run_id", _text(ULID_LENGTH), comment="the run whose invoke step waits for this one"),
    sa.Column("parent_step_id", _text(64)),
    sa.Column(
        "celery",
        Sealed("run.celery"),
        comment="JSON: the Celery task id and callbacks of a run started by delay() or a canvas",
    ),
    sa.Column("singleton_key", _text(64), comment="of all runs with the same one, only this one has not ended"),
    sa.Column("batch", sa.SmallInteger, comment="how many events started it, if they were collected"),
    sa.Column("original_run_id", _text(ULID_LENGTH), comment="the run that it repeats"),
    sa.UniqueConstraint("idempotency_key", name="inngest_run_once"),
    sa.UniqueConstraint("singleton_key", name="inngest_run_alone"),
    sa.Index("inngest_run_by_event", "event_id"),
    sa.Index("inngest_run_by_function", "function_id", "id"),
    sa.Index("inngest_run_by_status", "status", "id"),
    sa.Index("inngest_run_by_start", "started_at", "id"),
    sa.Index("inngest_run_by_end", "ended_at", "id"),
    **_TABLE,
)

run_event = sa.Table(
    "inngest_run_event",
    metadata,
    sa.Column("run_id", _text(ULID_LENGTH), primary_key=True, comment="a run, started or still to be"),
    sa.Column("event_id", _text(ULID_LENGTH), primary_key=True, comment="one of several events that it is for"),
    sa.Index("inngest_run_event_by_event", "event_id"),
    **_TABLE,
)

step = sa.Table(
    "inngest_step",
    metadata,
    sa.Column("run_id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("id", _text(64), primary_key=True, comment="hash of the step's id"),
    sa.Column("name", _text(512), nullable=False, comment="the id as the author wrote it"),
    sa.Column("op", _text(32), nullable=False),
    sa.Column(
        "memo",
        Sealed("step.memo"),
        nullable=False,
        comment="what the function sees: {data}, {error}, an event or null",
    ),
    sa.Column("failed", sa.Boolean, nullable=False),
    sa.Column("attempt", sa.SmallInteger, nullable=False),
    sa.Column("queued_at", Time, nullable=False),
    sa.Column("started_at", Time, nullable=False),
    sa.Column("ended_at", Time, nullable=False),
    sa.Column("worker", _text(255)),
    sa.Column("task_id", _text(64)),
    sa.Column("seq", sa.Integer, nullable=False, server_default="0", comment="its place in the order of completion"),
    sa.Column("waited", Sealed("step.waited"), comment="JSON: what it waited for, and until when"),
    **_TABLE,
)

attempt = sa.Table(
    "inngest_attempt",
    metadata,
    sa.Column("run_id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("step_id", _text(64), primary_key=True, comment="empty for the function's own code"),
    sa.Column("job_key", _text(64), primary_key=True, comment="the job that it was made under"),
    sa.Column("fence", sa.Integer, primary_key=True),
    sa.Column("attempt", sa.SmallInteger, nullable=False),
    sa.Column("name", _text(512), nullable=False),
    sa.Column("error", Sealed("attempt.error"), nullable=False),
    sa.Column("started_at", Time, nullable=False),
    sa.Column("ended_at", Time, nullable=False),
    sa.Column("retry_at", Time),
    sa.Column("worker", _text(255)),
    sa.Column("task_id", _text(64)),
    **_TABLE,
)

job = sa.Table(
    "inngest_job",
    metadata,
    sa.Column("subject_id", _text(64), primary_key=True, comment="a run; a route job's event; a cron's function"),
    sa.Column("key", _text(64), primary_key=True, comment="the step's hash, or a word for other kinds"),
    sa.Column("kind", _text(16), nullable=False),
    sa.Column("name", _text(512), nullable=False, comment="the step's name, shown in Flower"),
    sa.Column("function_id", _text(255), nullable=False),
    sa.Column("task_name", _text(255), nullable=False),
    sa.Column("queue", _text(255), nullable=False),
    sa.Column("opts", Sealed("job.opts"), comment="JSON: what the job needs besides the run's state"),
    sa.Column("flow", Sealed("job.flow"), comment="JSON: the limits that hold for it, by key, and its place in line"),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("due_at", Time, nullable=False),
    sa.Column("sweep_at", Time, nullable=False, comment="when a sweep should look at it, unless it is done by then"),
    sa.Column("hints", sa.SmallInteger, nullable=False),
    sa.Column("attempt", sa.SmallInteger, nullable=False),
    sa.Column("leased_by", _text(255)),
    sa.Column("leased_until", Time),
    sa.Column("fence", sa.Integer, nullable=False, comment="raised by every claim; a late result carries an old one"),
    sa.Column("message", Json, comment="JSON: the priority and headers that its messages carry, if any"),
    sa.Index("inngest_job_by_sweep", "sweep_at"),
    **_TABLE,
)

wait = sa.Table(
    "inngest_wait",
    metadata,
    sa.Column("run_id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("key", _text(64), primary_key=True, comment="the step's hash; cancel:N for a cancellation"),
    sa.Column("kind", _text(16), nullable=False),
    sa.Column("name", _text(512), nullable=False),
    sa.Column("event_name", _text(512), nullable=False),
    sa.Column("anchor", _text(64), nullable=False, comment="hash of a path and value that a match must have; or empty"),
    sa.Column("expression", Sealed("wait.expression")),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("expires_at", Time, nullable=False),
    sa.Column(
        "seen",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="how many outcomes its function knew then",
    ),
    sa.Index("inngest_wait_by_event", "event_name", "anchor"),
    **_TABLE,
)

topic = sa.Table(
    "inngest_topic",
    metadata,
    sa.Column("event_name", _text(512), primary_key=True, comment="an event name that some run has waited for"),
    sa.Column("paths", Json, nullable=False, comment="JSON list of the anchor paths in use"),
    **_TABLE,
)

limit = sa.Table(
    "inngest_limit",
    metadata,
    sa.Column("function_id", _text(255), primary_key=True),
    sa.Column("policy", _text(64), primary_key=True, comment="which of the function's limits, such as concurrency.0"),
    sa.Column("config", Json, nullable=False, comment="JSON: what holds instead of what the code says"),
    sa.Column("expires_at", Time, comment="when what the code says holds again"),
    sa.Column("set_at", Time, nullable=False),
    **_TABLE,
)

cost = sa.Table(
    "inngest_cost",
    metadata,
    sa.Column("run_id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("step_id", _text(64), primary_key=True),
    sa.Column("budget", _text(300), primary_key=True, comment="the budget that it counts against, with its key"),
    sa.Column("amount", sa.Double, nullable=False),
    sa.Column("at", Time, nullable=False),
    sa.Index("inngest_cost_by_budget", "budget", "at"),
    **_TABLE,
)

cutover = sa.Table(
    "inngest_cutover",
    metadata,
    sa.Column("name", _text(255), primary_key=True, comment="the old code's: a task, or what makes a canvas"),
    sa.Column("percent", sa.Double, nullable=False, comment="of the calls, how many the function takes"),
    sa.Column("shadow", sa.Double, nullable=False, comment="of the others, how many run in its shadow"),
    sa.Column("set_at", Time, nullable=False),
    **_TABLE,
)

cancellation = sa.Table(
    "inngest_cancellation",
    metadata,
    sa.Column("id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("app_id", _text(255), nullable=False),
    sa.Column("function_id", _text(255), nullable=False, comment="whose runs"),
    sa.Column("started_after", Time, comment="runs that were created at this time or later"),
    sa.Column("started_before", Time, nullable=False, comment="runs that were created earlier"),
    sa.Column("expression", Sealed("cancellation.expression"), comment="over the event that started the run"),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("position", _text(ULID_LENGTH), comment="the last run that was looked at"),
    sa.Column("cancelled", sa.Integer, nullable=False, comment="how many runs it has cancelled"),
    sa.Column("ended_at", Time),
    **_TABLE,
)

lease = sa.Table(
    "inngest_lease",
    metadata,
    sa.Column("name", _text(64), primary_key=True),
    sa.Column("owner", _text(255), nullable=False),
    sa.Column("until", Time, nullable=False),
    **_TABLE,
)

user = sa.Table(
    "inngest_user",
    metadata,
    sa.Column("name", _text(100), primary_key=True, comment="in lower case"),
    sa.Column("role", _text(16), nullable=False, comment="viewer, operator or admin"),
    sa.Column("password", _text(255), comment="Argon2 hash; empty: the identity provider lets this one in"),
    sa.Column("external", _text(64), comment="hash of the identity provider's name and its id of this user"),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("disabled_at", Time),
    sa.UniqueConstraint("external", name="inngest_user_external"),
    **_TABLE,
)

session = sa.Table(
    "inngest_session",
    metadata,
    sa.Column("id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("hash", _text(64), nullable=False, comment="of the cookie's value, which is stored nowhere"),
    sa.Column("user_name", _text(100), nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("seen_at", Time, nullable=False),
    sa.Column("expires_at", Time, nullable=False, comment="unless it is used before"),
    sa.Column("ends_at", Time, nullable=False, comment="however much it is used"),
    sa.Column("address", _text(64), nullable=False),
    sa.Column("agent", _text(255), nullable=False, comment="the browser, as it says"),
    sa.UniqueConstraint("hash", name="inngest_session_hash"),
    sa.Index("inngest_session_by_user", "user_name"),
    sa.Index("inngest_session_by_expiry", "expires_at"),
    **_TABLE,
)

token = sa.Table(
    "inngest_token",
    metadata,
    sa.Column("id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("hash", _text(64), nullable=False, comment="of the token, which is stored nowhere"),
    sa.Column("name", _text(100), nullable=False, comment="what it is for"),
    sa.Column("scopes", _text(255), nullable=False, comment="what it allows, separated by spaces"),
    sa.Column("created_by", _text(100), nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("expires_at", Time),
    sa.Column("used_at", Time, comment="to the minute"),
    sa.Column("revoked_at", Time),
    sa.UniqueConstraint("hash", name="inngest_token_hash"),
    **_TABLE,
)

login_attempts = sa.Table(
    "inngest_login_attempts",
    metadata,
    sa.Column("id", _text(64), primary_key=True, comment="hash of a name, an address, or both"),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("until", Time, nullable=False, comment="when counting begins anew"),
    sa.Index("inngest_login_attempts_by_end", "until"),
    **_TABLE,
)

# Two tables to which rows are only added: what somebody is about to do, and what has become of it.
audit = sa.Table(
    "inngest_audit",
    metadata,
    sa.Column("id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("at", Time, nullable=False),
    sa.Column("actor", _text(100), nullable=False, comment="the user's or token's name"),
    sa.Column("kind", _text(16), nullable=False, comment="how the actor proved to be it"),
    sa.Column("role", _text(16), nullable=False),
    sa.Column("address", _text(64), nullable=False),
    sa.Column("action", _text(64), nullable=False, comment="as run.cancel"),
    sa.Column("subject", _text(255), nullable=False, comment="what it is done to"),
    sa.Column("details", Json, nullable=False, comment="JSON object; never a payload"),
    sa.Index("inngest_audit_by_actor", "actor", "id"),
    sa.Index("inngest_audit_by_action", "action", "id"),
    sa.Index("inngest_audit_by_subject", "subject", "id"),
    **_TABLE,
)

audit_outcome = sa.Table(
    "inngest_audit_outcome",
    metadata,
    sa.Column("id", _text(ULID_LENGTH), primary_key=True, comment="the entry in inngest_audit"),
    sa.Column("at", Time, nullable=False),
    sa.Column("outcome", _text(64), nullable=False, comment="done, or the code of the error"),
    sa.Column("details", Json, nullable=False, comment="JSON object; never a payload"),
    **_TABLE,
)

# What nobody may delete, whatever else says so; see worker/holding.
hold = sa.Table(
    "inngest_hold",
    metadata,
    sa.Column("id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("reason", _text(1000), nullable=False),
    sa.Column("run_id", _text(ULID_LENGTH), comment="this run"),
    sa.Column("function_id", _text(255), comment="or all runs of this function"),
    sa.Column("expression", Sealed("hold.expression"), comment="or all runs of which this is true"),
    sa.Column("created_by", _text(100), nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("released_by", _text(100)),
    sa.Column("released_at", Time),
    **_TABLE,
)

walk = sa.Table(
    "inngest_walk",
    metadata,
    sa.Column("name", _text(64), primary_key=True, comment="who goes through a table, as runs:2592000000"),
    sa.Column("rules", _text(64), nullable=False, comment="hash of what it goes by; it begins anew when that changes"),
    sa.Column("at", Time, nullable=False, comment="the time of the last row that it has looked at"),
    sa.Column("position", _text(64), nullable=False, comment="the id of that row"),
    sa.Column("began_at", Time, nullable=False),
    sa.Column("arrived_at", Time, comment="when it last found nothing more to look at"),
    sa.Column("removed", sa.BigInteger, nullable=False, comment="how many rows it has deleted since it exists"),
    **_TABLE,
)

# Whose data an event or an output is, as a keyed hash: by it what is known of a person is found, and by whoever has the
# key alone.
subject = sa.Table(
    "inngest_subject",
    metadata,
    sa.Column("name", _text(64), primary_key=True, comment="as declared: email"),
    sa.Column("hash", _text(64), primary_key=True, comment="HMAC of name and value"),
    sa.Column("subject_id", _text(ULID_LENGTH), primary_key=True, comment="the event or run that has it"),
    sa.Index("inngest_subject_by_id", "subject_id"),
    **_TABLE,
)

erasure = sa.Table(
    "inngest_erasure",
    metadata,
    sa.Column("id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("asked", _text(64), nullable=False, comment="HMAC of what was asked for; the same request has the same"),
    sa.Column("mode", _text(8), nullable=False, comment="erase or redact"),
    sa.Column("cancels", sa.Boolean, nullable=False, comment="whether runs that have not ended are cancelled first"),
    sa.Column("created_by", _text(100), nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("planned_at", Time, comment="when its plan was complete; without it, nothing is erased"),
    sa.Column("ended_at", Time),
    sa.Column("receipt", Json, comment="JSON: what was done, with no value of the person's"),
    sa.Index("inngest_erasure_by_request", "asked"),
    **_TABLE,
)

erasure_item = sa.Table(
    "inngest_erasure_item",
    metadata,
    sa.Column("erasure_id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("kind", _text(8), primary_key=True, comment="run, event, memo or held"),
    sa.Column("subject_id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("key", _text(64), primary_key=True, comment="of a memo: its step; else empty"),
    sa.Column("counts", Json, comment="JSON: how many rows of each table went with it; empty until that is done"),
    sa.Column("done_at", Time),
    **_TABLE,
)

# What makes the two tell-tale: one link for each of their rows, see ``audit_chain``.
audit_link = sa.Table(
    "inngest_audit_link",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False, comment="from 1, without gaps"),
    sa.Column("kind", _text(16), nullable=False, comment="what its row is, and whether it was there before"),
    sa.Column("id", _text(ULID_LENGTH), nullable=False, comment="of the entry"),
    sa.Column("key", _text(16), nullable=False, comment="which key the hash was made with; empty: none"),
    sa.Column("hash", _text(64), nullable=False, comment="of the row, and of the hash before"),
    sa.UniqueConstraint("id", "kind", name="inngest_audit_link_row"),
    **_TABLE,
)

audit_head = sa.Table(
    "inngest_audit_head",
    metadata,
    sa.Column("name", _text(16), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False, comment="of the newest link"),
    sa.Column("key", _text(16), nullable=False),
    sa.Column("hash", _text(64), nullable=False),
    **_TABLE,
)

key = sa.Table(
    "inngest_key",
    metadata,
    sa.Column("id", _text(ULID_LENGTH), primary_key=True),
    sa.Column("kind", _text(16), nullable=False, comment="event or signing"),
    sa.Column("hash", _text(64), nullable=False, comment="of the key, which is stored nowhere"),
    sa.Column("name", _text(100), nullable=False, comment="what it is for"),
    sa.Column("scopes", sa.Text, nullable=False, comment="JSON list of event names and globs; empty: all"),
    sa.Column("created_by", _text(100), nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("expires_at", Time),
    sa.Column("used_at", Time, comment="to the minute"),
    sa.Column("revoked_at", Time),
    sa.Column("replaces", _text(ULID_LENGTH), comment="the key that it was made to replace"),
    sa.UniqueConstraint("hash", name="inngest_key_hash"),
    **_TABLE,
)
