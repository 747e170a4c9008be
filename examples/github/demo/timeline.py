"""One run, drawn: a line for each attempt at each step, on an axis on which long pauses are shortened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import sqlalchemy as sa
from rich.table import Table
from rich.text import Text

from inngest_celery.opcodes import Opcode
from inngest_celery.store import runs, schema
from inngest_celery.store.database import Database
from inngest_celery.store.rows import RunStatus

_WIDTH = 24
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms"))
_PAUSES = (Opcode.SLEEP.value, Opcode.WAIT_FOR_EVENT.value, Opcode.INVOKE.value)


@dataclass(frozen=True)
class _Bar:
    name: str
    began: int
    ended: int
    sign: str
    colour: str
    remark: str


def timeline(database: Database, function_id: str) -> Table | None:
    """Draw the first completed run of a function; ``None`` if there is none."""
    run = schema.run
    query = sa.select(run.c.id).where(run.c.function_id == function_id, run.c.status == RunStatus.COMPLETED.value)
    with database.autocommit() as connection:
        run_id = connection.execute(query.order_by(run.c.id).limit(1)).scalar_one_or_none()
        if run_id is None:
            return None
        bars = _bars(connection, run_id)
    place = _axis(bars)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(width=_WIDTH, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.title, table.title_justify = f"\n{function_id}, run {run_id}", "left"
    for bar in bars:
        start = min(place[bar.began], _WIDTH - 1)
        length = max(place[bar.ended] - start, 1)
        line = Text(" " * start).append(bar.sign * length, style=bar.colour)
        table.add_row(bar.name, line, Text(f"+{_words(bar.began - bars[0].began)}", style="bright_black"), bar.remark)
    return table


def _bars(connection: sa.Connection, run_id: str) -> list[_Bar]:
    bars = []
    for step in runs.steps(connection, run_id):
        paused = step.op in _PAUSES
        lasted = _words(step.ended_at - step.started_at)
        if not step.failed:
            sign, colour = ("┄", "blue") if paused else ("█", "green")
            bars.append(_Bar(step.name, step.started_at, step.ended_at, sign, colour, lasted))
    for attempt in runs.attempts(connection, run_id):
        remark = (
            "failed" if attempt.retry_at is None else f"failed, again in {_words(attempt.retry_at - attempt.ended_at)}"
        )
        bars.append(_Bar(attempt.name, attempt.started_at, attempt.ended_at, "█", "red", remark))
    return sorted(bars, key=lambda bar: (bar.began, bar.ended))


def _axis(bars: Sequence[_Bar]) -> dict[int, int]:
    """Give a column for each instant: ten times the pause is one unit more."""
    instants = sorted({instant for bar in bars for instant in (bar.began, bar.ended)})
    reached, at = {instants[0]: 0.0}, 0.0
    for before, after in pairwise(instants):
        at += math.log10(after - before + 1)
        reached[after] = at
    return {instant: round(_WIDTH * position / (at or 1)) for instant, position in reached.items()}


def _words(milliseconds: int) -> str:
    for size, unit in _UNITS:
        if milliseconds >= size:
            return f"{milliseconds / size:.3g} {unit}"
    return "0 ms"
