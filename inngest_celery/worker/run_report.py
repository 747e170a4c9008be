"""One run as a report for whoever has to answer for it: models, decisions, approvals, errors and who did what.

It says what the database has, and nothing else: what a model answered, with its name and usage where its answer says
so, is a step's result; what it was asked is not stored, but for what stands in the event and in the steps before.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jcs
import sqlalchemy as sa

from inngest_celery.engine.durations import instant
from inngest_celery.opcodes import Opcode
from inngest_celery.store import audit, schema
from inngest_celery.store.history import History, history_of
from inngest_celery.store.rows import Attempt, RunStatus, Step, Wait
from inngest_celery.worker.runs import RunNotFoundError
from inngest_celery.worker.runtime import Runtime

_MOST_ENTRIES = 1_000
# What providers' answers call the model, and what it has used.
_MODEL = ("model", "modelVersion")
_USAGE = ("usage", "usageMetadata")


def report(runtime: Runtime, run_id: str) -> dict[str, Any]:
    """Make the report of a run.

    Args:
        runtime: whose database.
        run_id: the run's.

    Returns:
        A JSON value. ``digest`` is the SHA-256 of the RFC 8785 form of all the rest, for whoever keeps the report.

    Raises:
        RunNotFoundError: there is no such run.

    Example: ``report(runtime_of(app), run_id)["approvals"]``
    """
    history = history_of(runtime.database, run_id)
    if history is None:
        raise RunNotFoundError(run_id)
    with runtime.database.autocommit() as connection:
        costs = _costs(connection, run_id)
        entries = audit.page(connection, audit.AuditFilter(subject=run_id), _MOST_ENTRIES)
    made: dict[str, Any] = {
        "version": 1,
        "made_at": instant(runtime.clock.now()),
        "run": _run(history),
        "models": [_model(step, costs) for step in history.steps if _is_model(step)],
        "decisions": [_decision(step, costs) for step in history.steps],
        "approvals": [
            *(_approval(step) for step in history.steps if step.op == Opcode.WAIT_FOR_EVENT.value),
            *(_open(wait) for wait in history.waits if wait.event_name and not wait.key.startswith("cancel:")),
        ],
        "errors": [_error(attempt) for attempt in history.attempts],
        "cost": sum(costs.values()) if costs else None,
        "audit": [_entry(row, outcome) for row, outcome in reversed(entries)],
    }
    return {**made, "digest": digest(made)}


def digest(made: dict[str, Any]) -> str:
    """Give the hash of a report, whether its own hash is in it or not."""
    written = jcs.canonicalize({name: value for name, value in made.items() if name != "digest"})
    assert isinstance(written, bytes)
    return hashlib.sha256(written).hexdigest()


def _costs(connection: sa.Connection, run_id: str) -> dict[str, float]:
    """Give what each step has cost. One that counts against several budgets has cost it once."""
    table = schema.cost
    query = sa.select(table.c.step_id, sa.func.max(table.c.amount)).where(table.c.run_id == run_id)
    return {step_id: float(amount) for step_id, amount in connection.execute(query.group_by(table.c.step_id))}


def _run(history: History) -> dict[str, Any]:
    run, event = history.run, history.event
    return {
        "id": run.id,
        "function_id": run.function_id,
        "status": RunStatus(run.status).name.lower(),
        "reason": run.reason,
        "created_at": instant(run.created_at),
        "started_at": _at(run.started_at),
        "ended_at": _at(run.ended_at),
        "repeats": run.original_run_id,
        "event": event and {"id": event.id, "name": event.name, "data": json.loads(event.data)},
        "output": _read(run.output),
    }


def _is_model(step: Step) -> bool:
    data = _result(step)
    says_so = isinstance(data, dict) and any(name in data for name in _MODEL) and any(name in data for name in _USAGE)
    return step.op == Opcode.AI_GATEWAY.value or says_so


def _model(step: Step, costs: dict[str, float]) -> dict[str, Any]:
    found = _result(step)
    data: dict[str, Any] = found if isinstance(found, dict) else {}
    return {
        "step": step.name,
        "model": next((data[name] for name in _MODEL if name in data), None),
        "usage": next((data[name] for name in _USAGE if name in data), None),
        "cost": costs.get(step.id),
        "answered_at": instant(step.ended_at),
        "answer": found,
    }


def _decision(step: Step, costs: dict[str, float]) -> dict[str, Any]:
    return {
        "order": step.seq,
        "step": step.name,
        "op": step.op,
        "failed": step.failed,
        "attempts": step.attempt + 1,
        "started_at": instant(step.started_at),
        "ended_at": instant(step.ended_at),
        "cost": costs.get(step.id),
        "result": _read(step.memo),
    }


def _approval(step: Step) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads(step.waited or "{}")
    event = _result(step)
    answered = isinstance(event, dict)
    return {
        "step": step.name,
        "asked_for": asked.get("event"),
        "if": asked.get("if"),
        "until": _at(asked.get("until")),
        "asked_at": instant(step.queued_at),
        "outcome": "answered" if answered else "timed out",
        "ended_at": instant(step.ended_at),
        "answer": event if answered else None,
    }


def _open(wait: Wait) -> dict[str, Any]:
    return {
        "step": wait.name,
        "asked_for": wait.event_name,
        "if": wait.expression,
        "until": instant(wait.expires_at),
        "asked_at": instant(wait.created_at),
        "outcome": "waits",
        "ended_at": None,
        "answer": None,
    }


def _error(attempt: Attempt) -> dict[str, Any]:
    return {
        "step": attempt.name or None,
        "attempt": attempt.attempt + 1,
        "error": json.loads(attempt.error),
        "ended_at": instant(attempt.ended_at),
        "retried_at": _at(attempt.retry_at),
    }


def _entry(row: audit.AuditRow, outcome: audit.OutcomeRow | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": instant(row.at),
        "actor": row.actor,
        "kind": row.kind,
        "role": row.role,
        "action": row.action,
        "details": json.loads(row.details),
        "outcome": outcome.outcome if outcome else None,
    }


def _result(step: Step) -> object:
    """Give what the function sees of a step, without what it is wrapped in."""
    memo = _read(step.memo)
    return memo["data"] if isinstance(memo, dict) and set(memo) == {"data"} else memo


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _at(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else instant(milliseconds)
