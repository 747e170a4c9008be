"""Watching one run until it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from inngest_celery.cli.group import Failure
from inngest_celery.cli.output import console, instant, status_text
from inngest_celery.cli.timeline import timeline
from inngest_celery.store.history import History, history_of
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runs import RunNotFoundError
from inngest_celery.worker.runtime import Runtime

_POLL_S = 0.5


def watch(runtime: Runtime, run_id: str, timeout: float | None) -> RunStatus:
    """Show what happens in a run, and give how it has ended.

    Raises:
        RunNotFoundError: there is none with this id.
        Failure: it has not ended in time (``run_not_ended``).
    """
    out = console()
    seen = _histories(runtime, run_id, timeout)
    return _draw(runtime, seen, out) if out.is_terminal else _tell(seen)


def _histories(runtime: Runtime, run_id: str, timeout: float | None) -> Iterator[History]:
    """Read a run again and again; the last time when it has ended."""
    give_up_at = None if timeout is None else time.monotonic() + timeout
    while True:
        history = history_of(runtime.database, run_id)
        if history is None:
            raise RunNotFoundError(run_id)
        yield runtime.eyes.history(history)
        if RunStatus(history.run.status).ended:
            return
        if give_up_at is not None and time.monotonic() + _POLL_S > give_up_at:
            raise Failure("run_not_ended", f"Run {run_id} has not ended after {timeout:g} s; it goes on.")
        time.sleep(_POLL_S)


def _draw(runtime: Runtime, seen: Iterator[History], out: Console) -> RunStatus:
    history = None
    with Live(console=out, auto_refresh=False) as live:
        for history in seen:
            run = history.run
            head = Text.from_markup(f"[bold]{run.id}[/]  {status_text(run.status)}  {run.function_id}")
            live.update(Group(head, timeline(history, now=runtime.clock.now())), refresh=True)
    assert history is not None
    return RunStatus(history.run.status)


def _tell(seen: Iterator[History]) -> RunStatus:
    told: set[object] = set()
    status = RunStatus.SCHEDULED
    for history in seen:
        for at, key, said in _happened(history):
            if key not in told:
                told.add(key)
                click.echo(f"{instant(at)}  {said}")
        status = RunStatus(history.run.status)
    return status


def _happened(history: History) -> list[tuple[int, object, str]]:
    """Give what has happened so far, in order: when, what tells it from all else, and in words."""
    run = history.run
    happened: list[tuple[int, object, str]] = [(run.created_at, "created", f"{run.id} is scheduled")]
    if run.started_at:
        happened.append((run.started_at, "started", f"{run.id} runs"))
    for attempt in history.attempts:
        where = attempt.name or "(function)"
        key = (attempt.job_key, attempt.fence, attempt.attempt)
        happened.append((attempt.ended_at, key, f"{where}: attempt {attempt.attempt + 1} failed"))
    for step in history.steps:
        happened.append((step.ended_at, step.id, f"{step.name}: {'failed' if step.failed else 'done'}"))
    happened.sort(key=lambda each: each[0])
    if run.ended_at:
        happened.append((run.ended_at, "ended", f"{run.id} is {RunStatus(run.status).name.lower()}"))
    return happened
