"""One run in full: for people, and for programs."""

from __future__ import annotations

import json

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from inngest_celery.cli.output import duration, instant, iso, status_text, table
from inngest_celery.cli.shapes import read, step_shape
from inngest_celery.cli.timeline import timeline
from inngest_celery.store.asked import AskedTask, asked_task
from inngest_celery.store.history import History
from inngest_celery.store.jobs import HELD_MS
from inngest_celery.store.rows import Attempt, Job, RunStatus, Wait

_LONGEST = 2000


def show(history: History, now: int, console: Console) -> None:
    """Print a run."""
    run = history.run
    console.print(f"[bold]{run.id}[/]  {status_text(run.status)}  {run.function_id}", soft_wrap=True)
    facts = table("", "")
    facts.show_header = False
    for name, value in _facts(history, now):
        facts.add_row(Text(name, style="dim"), Text(value))
    console.print(Padding(facts, (0, 0, 1, 2), expand=False))
    console.print(timeline(history, now=now))
    _list(console, "Errors", [_error(attempt) for attempt in history.attempts])
    _list(console, "Waits for", [_wait(wait, asked_task(history.job_of(wait)), now) for wait in history.waits])
    _list(console, "Still to do", [_job(job, now) for job in history.jobs])
    if run.output is not None:
        title = "Error" if run.status == RunStatus.FAILED else "Output"
        _list(console, title, [_output(history)])


def as_json(history: History) -> dict[str, object]:
    """Give a run as one JSON value; times are ISO 8601 in UTC."""
    run = history.run
    return {
        "id": run.id,
        "function_id": run.function_id,
        "status": RunStatus(run.status).name.lower(),
        "reason": run.reason,
        "batch": run.batch,
        "created_at": iso(run.created_at),
        "started_at": iso(run.started_at),
        "ended_at": iso(run.ended_at),
        "output": read(run.output),
        "parent_run_id": run.parent_run_id,
        "event": history.event
        and {
            "id": history.event.id,
            "name": history.event.name,
            "data": read(history.event.data),
            "ts": iso(history.event.ts),
        },
        "steps": [step_shape(step) for step in history.steps],
        "failed_attempts": [
            {
                "step": attempt.name or None,
                "attempt": attempt.attempt + 1,
                "error": read(attempt.error),
                "started_at": iso(attempt.started_at),
                "ended_at": iso(attempt.ended_at),
                "retry_at": iso(attempt.retry_at),
                "worker": attempt.worker,
            }
            for attempt in history.attempts
        ],
        "waits": [
            {
                "step": wait.name,
                "event": wait.event_name or None,
                "expression": wait.expression,
                "expires_at": iso(wait.expires_at),
                **_task(asked_task(history.job_of(wait))),
            }
            for wait in history.waits
        ],
        "jobs": [
            {
                "kind": job.kind.value,
                "step": job.name or None,
                "queue": job.queue,
                "due_at": iso(job.due_at),
                "attempt": job.attempt + 1,
                "hints": job.hints,
                "leased_by": job.leased_by,
                "leased_until": iso(job.leased_until),
            }
            for job in history.jobs
        ],
    }


def _task(asked: AskedTask | None) -> dict[str, object]:
    return {} if asked is None else {"task": asked.task, "task_id": asked.id, "queue": asked.queue}


def _facts(history: History, now: int) -> list[tuple[str, str]]:
    run, event = history.run, history.event
    facts = [("event", f"{event.name}  {event.id}  {_short(event.data)}" if event else run.event_id)]
    facts.append(("created", instant(run.created_at)))
    if run.started_at:
        facts.append(("started", f"{instant(run.started_at)}, after {duration(run.started_at - run.created_at)}"))
    if run.ended_at:
        facts.append(
            ("ended", f"{instant(run.ended_at)}, after {duration(run.ended_at - (run.started_at or run.created_at))}")
        )
    if run.reason:
        facts.append(("reason", run.reason))
    if run.batch is not None:
        facts.append(("batch", f"{run.batch} events, of which this is the first"))
    if run.parent_run_id:
        facts.append(("parent", run.parent_run_id))
    return facts


def _list(console: Console, title: str, lines: list[str]) -> None:
    if lines:
        console.print(f"\n[bold]{title}[/]")
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))


def _error(attempt: Attempt) -> str:
    error = json.loads(attempt.error)
    then = f"; again at {instant(attempt.retry_at)}" if attempt.retry_at else ""
    where = attempt.name or "(function)"
    return f"{where}, attempt {attempt.attempt + 1}: {error.get('name')}: {_short(str(error.get('message')))}{then}"


def _wait(wait: Wait, asked: AskedTask | None, now: int) -> str:
    condition = f" where {wait.expression}" if wait.expression else ""
    left = duration(max(wait.expires_at - now, 0))
    what = wait.event_name or ("a run" if asked is None else str(asked))
    if wait.key.startswith("cancel:"):
        return f"{what}{condition}, to be cancelled by it"
    return f"{what}{condition}, in step {wait.name}, for another {left}"


def _job(job: Job, now: int) -> str:
    what = f"{job.kind} {job.name}".strip()
    if job.leased_by:
        return f"{what}: held by {job.leased_by}"
    if job.due_at >= HELD_MS:
        return f"{what}: held, because the function is paused"
    when = f"due in {duration(job.due_at - now)}" if job.due_at > now else f"due since {duration(now - job.due_at)}"
    return f"{what}: {when}, attempt {job.attempt + 1}, queue {job.queue}, {job.hints} hint(s) sent"


def _output(history: History) -> str:
    value = read(history.run.output)
    if history.run.status == RunStatus.FAILED and isinstance(value, dict):
        return f"{value.get('name')}: {value.get('message')}\n{value.get('stack') or ''}".rstrip()
    return _short(json.dumps(value, indent=2, ensure_ascii=False), _LONGEST)


def _short(text: str, longest: int = 200) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"
