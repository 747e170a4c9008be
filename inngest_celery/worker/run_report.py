"""One run as a report for whoever has to answer for it: models, decisions, approvals, errors and who did what.

It says what the database has, and nothing else: what a model answered, with its name and usage where its answer says
so, is a step's result; what it was asked stands with the step, if the request was ours (``step.ai.infer``) or an SDK
has told of it (``step.ai.wrap``). Code in a step that asks a model by itself tells nobody what.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jcs
import sqlalchemy as sa

from inngest_celery.engine import prompts
from inngest_celery.engine.durations import instant
from inngest_celery.engine.viewing import Eyes
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


def report(runtime: Runtime, run_id: str, eyes: Eyes | None = None, *, names_people: bool = True) -> dict[str, Any]:
    """Make the report of a run.

    Args:
        runtime: whose database.
        run_id: the run's.
        eyes: whose it is to be; those of whoever may only look, if left out.
        names_people: whether it says who did what. Who may not read the audit log is not told in a report either.

    Returns:
        A JSON value. ``digest`` is the SHA-256 of the RFC 8785 form of all the rest, for whoever keeps the report.

    Raises:
        RunNotFoundError: there is no such run.

    Example: ``report(runtime_of(app), run_id)["approvals"]``
    """
    history = history_of(runtime.database, run_id)
    if history is None:
        raise RunNotFoundError(run_id)
    history = (eyes or runtime.eyes).history(history)
    with runtime.database.autocommit() as connection:
        costs = _costs(connection, run_id)
        wanted = audit.AuditFilter(subject=run_id)
        entries = audit.page(connection, wanted, _MOST_ENTRIES) if names_people else []
    made: dict[str, Any] = {
        "version": 2,
        "made_at": instant(runtime.clock.now()),
        "run": _run(history),
        "models": _models(history, costs),
        "decisions": [_decision(step, costs) for step in history.steps],
        "approvals": [
            *(_approval(step, names_people) for step in history.steps if step.op == Opcode.WAIT_FOR_EVENT.value),
            *(_open(wait) for wait in history.waits if wait.event_name and not wait.key.startswith("cancel:")),
        ],
        "errors": [_error(attempt) for attempt in history.attempts],
        "cost": sum(costs.values()) if costs else None,
        "audit": [_entry(row, outcome) for row, outcome in reversed(entries)] if names_people else None,
        "left_out": [] if names_people else ["audit", "approvals.answered_by"],
    }
    try:
        return {**made, "digest": digest(made)}
    except UnicodeEncodeError:
        made = _as_text(made)
        return {**made, "digest": digest(made)}


def _as_text(made: dict[str, Any]) -> dict[str, Any]:
    """Put a sign in the place of halves of surrogate pairs, which are no text and have no hash."""
    text = json.dumps(made, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    read: dict[str, Any] = json.loads(text)
    return read


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


def _models(history: History, costs: dict[str, float]) -> list[dict[str, Any]]:
    """Give each time that a model was asked, in the order in which that was over."""
    asked = [(step.ended_at, _model(step, costs)) for step in history.steps if _is_model(step)]
    for attempt in history.attempts:
        request = prompts.in_error(attempt.error)
        if request is not None:
            asked.append((attempt.ended_at, _asked_in_vain(attempt, request)))
    return [row for _, row in sorted(asked, key=lambda each: each[0])]


def _is_model(step: Step) -> bool:
    data = _result(step)
    says_so = isinstance(data, dict) and any(name in data for name in _MODEL) and any(name in data for name in _USAGE)
    return step.op == Opcode.AI_GATEWAY.value or says_so or prompts.in_step(step.waited) is not None


def _model(step: Step, costs: dict[str, float]) -> dict[str, Any]:
    found = None if step.failed else _result(step)
    data: dict[str, Any] = found if isinstance(found, dict) else {}
    request = _request(prompts.in_step(step.waited))
    return {
        "step": step.name,
        "attempt": step.attempt + 1,
        **request,
        "model": next((data[name] for name in _MODEL if name in data), request["asked_model"]),
        "usage": next((data[name] for name in _USAGE if name in data), None),
        "cost": costs.get(step.id),
        "asked_at": instant(step.started_at),
        "answered_at": instant(step.ended_at),
        "answer": found,
        "error": _read(step.memo)["error"] if step.failed else None,
    }


def _asked_in_vain(attempt: Attempt, asked: dict[str, Any]) -> dict[str, Any]:
    request = _request(asked)
    return {
        "step": attempt.name,
        "attempt": attempt.attempt + 1,
        **request,
        "model": request["asked_model"],
        "usage": None,
        "cost": None,
        "asked_at": instant(attempt.started_at),
        "answered_at": instant(attempt.ended_at),
        "answer": None,
        "error": _read(prompts.without(attempt.error)),
    }


def _request(asked: dict[str, Any] | None) -> dict[str, Any]:
    """Give what is known of a request: nothing, where the step has asked by itself; no prompt, where that is too large
    to be kept, but its hash.
    """
    known = asked or {}
    said, parameters = prompts.parts_of(known)
    return {
        "format": known.get("format"),
        "provider": known.get("provider"),
        "asked_model": known.get("model"),
        "parameters": parameters,
        "prompt": said,
        "prompt_kept": "body" in known,
        "prompt_bytes": known.get("bytes"),
        "prompt_sha256": known.get("sha256"),
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


def _approval(step: Step, names_people: bool) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads(step.waited or "{}")
    event = _result(step)
    answered = isinstance(event, dict)
    # Steps of earlier releases do not say it.
    answer: dict[str, Any] = asked.get("answer") or {}
    return {
        "step": step.name,
        "asked_for": asked.get("event"),
        "if": asked.get("if"),
        "until": _at(asked.get("until")),
        "asked_at": instant(step.queued_at),
        "outcome": "answered" if answered else "timed out",
        "ended_at": instant(step.ended_at),
        "answer": event if answered else None,
        "event_id": answer.get("id"),
        "answered_by": answer.get("by") if names_people else None,
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
        "event_id": None,
        "answered_by": None,
    }


def _error(attempt: Attempt) -> dict[str, Any]:
    return {
        "step": attempt.name or None,
        "attempt": attempt.attempt + 1,
        "error": _read(prompts.without(attempt.error)),
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
