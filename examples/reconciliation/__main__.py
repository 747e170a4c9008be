"""10,000 lines, two workers, one of which is killed half way; and what each shape of the work costs."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import sqlalchemy as sa
from rich.table import Table

import inngest_celery as inngest
from examples.reconciliation import books, matching
from examples.reconciliation.app import app, client
from examples.stage import Stage, perform
from inngest_celery.store import schema
from inngest_celery.worker.runs import RunInfo
from inngest_celery.worker.runtime import runtime_of

_LINES, _PART = 10_000, 100
_PATIENCE_SECONDS = 600.0
# What is compared: lines in a run, and whether each line is a step; 0: all lines in one run.
_SHAPES = ((100, False), (1_000, False), (20, False), (100, True), (500, True), (0, True))


def options(parser: argparse.ArgumentParser) -> None:
    """Add those of this demo."""
    parser.add_argument("--lines", type=int, default=_LINES, help=f"lines of the statement; {_LINES:,}, if left out")
    parser.add_argument(
        "--shapes", action="store_true", help="measure several ways to divide the work, without a crash"
    )


def show(stage: Stage, arguments: argparse.Namespace) -> bool:
    """Reconcile, and give whether the report is right."""
    directory = stage.directory / "books"
    books.generate(directory, arguments.lines)
    stage.say(f"a statement of {arguments.lines:,} lines, and a ledger")
    return _compare(stage, directory, arguments.lines) if arguments.shapes else _reconcile(stage, directory, arguments)


def _reconcile(stage: Stage, directory: Path, arguments: argparse.Namespace) -> bool:
    victim = stage.start_worker()
    stage.start_worker()
    began = time.monotonic()
    event_id = _send(directory, arguments.lines, _PART, each_line=False)
    parts = -(-arguments.lines // _PART)
    stage.until(lambda: _matched() >= parts // 2, "half of the parts to be matched")
    stage.kill(victim, f"when {_matched()} of {parts} parts are matched")
    run = client.runs.wait(event_id, timeout=_PATIENCE_SECONDS)
    stage.say(f"reconciled after {time.monotonic() - began:.1f} s")

    direct = matching.computed_directly(directory)
    table = Table("", "payments", "cents", "computed directly", title="\nThe report")
    told = run.output if isinstance(run.output, dict) else {}
    for kind in ("matched", "differing", "unbooked", "unpaid"):
        both = f"{direct[kind]:,} / {direct[f'{kind}_cents']:,}"
        table.add_row(kind, f"{told.get(kind, 0):,}", f"{told.get(f'{kind}_cents', 0):,}", both)
    stage.console.print(table)
    stage.console.print(f"{_matched()} parts recorded, each once; {arguments.lines:,} lines accounted for")
    accounted = sum(told.get(kind, 0) for kind in ("matched", "differing", "unbooked"))
    return told == direct and _matched() == parts and accounted == arguments.lines


def _compare(stage: Stage, directory: Path, lines: int) -> bool:
    for _ in range(2):
        stage.start_worker()
    direct = matching.computed_directly(directory)
    table = Table("shape", "seconds", "lines a second", title=f"\n{lines:,} lines, two workers of two processes")
    good = True
    for part, each_line in _SHAPES:
        part = min(part or lines, lines)
        name = _name(-(-lines // part), part, each_line=each_line)
        began = time.monotonic()
        run = client.runs.wait(_send(directory, lines, part, each_line=each_line), _PATIENCE_SECONDS)
        seconds = time.monotonic() - began
        good &= run.output == direct or _is_refused(run)
        result = "refused: a run has up to 1,000 steps" if _is_refused(run) else f"{lines / seconds:,.0f}"
        stage.say(f"{name}: {seconds:.1f} s")
        table.add_row(name, f"{seconds:.1f}", result)
    stage.console.print(table)
    return good


def _name(runs: int, part: int, *, each_line: bool) -> str:
    steps = f"{part:,} steps, one a line" if each_line else f"a step for {part:,} lines"
    return f"{runs:,} × {steps}"


def _send(directory: Path, lines: int, part: int, *, each_line: bool) -> str:
    data: dict[str, inngest.JSON] = {"directory": str(directory), "lines": lines, "part": part, "each_line": each_line}
    [event_id] = client.send_sync(inngest.Event(name="bank/statement.received", data=data))
    return event_id


def _is_refused(run: RunInfo) -> bool:
    return "more than 1000 steps" in str(run.output)


def _matched() -> int:
    """Give how many parts have their result recorded."""
    step, run = schema.step, schema.run
    query = sa.select(sa.func.count()).select_from(step.join(run, step.c.run_id == run.c.id))
    with runtime_of(app).database.autocommit() as connection:
        return int(connection.execute(query.where(run.c.function_id == "bank-match-part")).scalar_one())


if __name__ == "__main__":
    sys.exit(perform(lambda: app, "examples.reconciliation", show, environment={}, options=options))
