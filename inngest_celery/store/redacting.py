"""Taking what was said out of rows that stay: statistics and histories keep their shape, and nobody's data is in them.

Each function belongs into a transaction that somebody else ends.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from inngest_celery.store import schema
from inngest_celery.store.removing import Counts
from inngest_celery.store.rows import RunStatus

GONE = '{"redacted": true}'
_ERROR = {"name": "Error", "message": "redacted", "stack": None, "redacted": True}
_NAME = "redacted"


def memo(text: str) -> str:
    """Give what stays of a memo: its shape, by which a replay tells a result from an error, an event or nothing.

    Example:
        >>> memo('{"data":{"email":"a@b.c"}}'), memo("null")
        ('{"data": {"redacted": true}}', 'null')
    """
    read = json.loads(text)
    if read is None:
        return text
    if isinstance(read, dict) and "error" in read and len(read) == 1:
        return json.dumps({"error": _ERROR})
    if isinstance(read, dict) and "data" in read and len(read) == 1:
        return json.dumps({"data": {"redacted": True}})
    return GONE


def output(text: str | None, status: int) -> str | None:
    """Give what stays of a run's output."""
    if text is None or text == "null":
        return text
    return GONE if status == RunStatus.COMPLETED else json.dumps(_ERROR)


def runs(connection: sa.Connection, run_ids: Sequence[str], words: Collection[str] = ()) -> Counts:
    """Redact locked runs that have ended, with their steps and attempts; give the rows by table.

    Args:
        words: a step whose name has one of these in it gets another name.
    """
    run, job = schema.run, schema.job
    rows = connection.execute(sa.select(run.c.id, run.c.status, run.c.output).where(run.c.id.in_(run_ids))).all()
    changes = [{"b_id": row.id, "b_output": output(row.output, row.status)} for row in rows]
    update = sa.update(run).where(run.c.id == sa.bindparam("b_id"))
    _each(
        connection,
        update.values(
            output=sa.bindparam("b_output"),
            # A cancellation's reason names the event that it is due to.
            reason=sa.case((run.c.status == RunStatus.CANCELLED.value, _NAME), else_=run.c.reason),
            celery=None,
            idempotency_key=None,
        ),
        changes,
    )
    connection.execute(sa.delete(job).where(job.c.subject_id.in_(run_ids)))
    _forget(connection, run_ids)
    counts = {run.name: len(rows), schema.step.name: _steps(connection, run_ids, words)}
    return {**counts, schema.attempt.name: _attempts(connection, run_ids, words)}


def _steps(connection: sa.Connection, run_ids: Sequence[str], words: Collection[str]) -> int:
    step = schema.step
    query = sa.select(step.c.run_id, step.c.id, step.c.name, step.c.memo, step.c.waited)
    rows = connection.execute(query.where(step.c.run_id.in_(run_ids))).all()
    update = sa.update(step).where(step.c.run_id == sa.bindparam("b_run"), step.c.id == sa.bindparam("b_id"))
    values: dict[str, Any] = {
        "memo": sa.bindparam("b_memo"),
        "waited": sa.bindparam("b_waited"),
        "name": sa.bindparam("b_name"),
    }
    changes = [
        {
            "b_run": row.run_id,
            "b_id": row.id,
            "b_memo": memo(row.memo),
            "b_waited": _waited(row.waited),
            "b_name": _named(row.name, words),
        }
        for row in rows
    ]
    _each(connection, update.values(**values), changes)
    return len(rows)


def memos(connection: sa.Connection, run_id: str, step_ids: Iterable[str]) -> Counts:
    """Redact some memos of a run that stays as it is."""
    step = schema.step
    query = sa.select(step.c.id, step.c.memo).where(step.c.run_id == run_id, step.c.id.in_(sorted(step_ids)))
    rows = connection.execute(query.order_by(step.c.id)).all()
    update = sa.update(step).where(step.c.run_id == run_id, step.c.id == sa.bindparam("b_id"))
    changes = [{"b_id": row.id, "b_memo": memo(row.memo)} for row in rows]
    _each(connection, update.values(memo=sa.bindparam("b_memo")), changes)
    return {step.name: len(rows)}


def _attempts(connection: sa.Connection, run_ids: Sequence[str], words: Collection[str]) -> int:
    attempt = schema.attempt
    update = sa.update(attempt).where(attempt.c.run_id.in_(run_ids)).values(error=json.dumps(_ERROR))
    number = connection.execute(update).rowcount
    names = connection.execute(sa.select(attempt.c.name).where(attempt.c.run_id.in_(run_ids)).distinct()).scalars()
    for name in [each for each in names if _named(each, words) != each]:
        named = sa.update(attempt).where(attempt.c.run_id.in_(run_ids), attempt.c.name == name)
        connection.execute(named.values(name=_NAME))
    return number


def events(connection: sa.Connection, event_ids: Sequence[str]) -> Counts:
    """Redact events. What would still route them goes, and they are collected for nothing any more."""
    event, job, run, together = schema.event, schema.job, schema.run, schema.run_event
    connection.execute(sa.delete(job).where(job.c.subject_id.in_(event_ids)))
    started = sa.exists().where(run.c.id == together.c.run_id)
    connection.execute(sa.delete(together).where(together.c.event_id.in_(event_ids), ~started))
    _forget(connection, event_ids)
    update = sa.update(event).where(event.c.id.in_(event_ids))
    return {event.name: connection.execute(update.values(data=GONE, extra=None, external_id=event.c.id)).rowcount}


def _forget(connection: sa.Connection, subject_ids: Sequence[str]) -> None:
    connection.execute(sa.delete(schema.subject).where(schema.subject.c.subject_id.in_(subject_ids)))


def _waited(text: str | None) -> str | None:
    if text is None:
        return None
    read = json.loads(text)
    if "asked" in read:
        return json.dumps({"asked": {"redacted": True}})
    return json.dumps({**read, "if": None, "event": _topic(read.get("event"))})


def _topic(name: object) -> object:
    # What follows is a signal's name, which may be anything.
    return "inngest/signal:" if isinstance(name, str) and name.startswith("inngest/signal:") else name


def _named(name: str, words: Collection[str]) -> str:
    return _NAME if any(word in name for word in words) else name


def _each(connection: sa.Connection, statement: Any, changes: Sequence[dict[str, Any]]) -> None:
    if changes:
        connection.execute(statement, changes)
