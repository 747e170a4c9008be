"""A run drawn against time: one line a step, its attempts as bars."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.table import Table
from rich.text import Text

from inngest_celery.cli.output import duration
from inngest_celery.opcodes import Opcode
from inngest_celery.store.asked import asked_task
from inngest_celery.store.history import History

_WIDTH = 48
_FAILED = "▒"
# Time passes; no worker is busy.
_PASSIVE = {Opcode.SLEEP.value, Opcode.WAIT_FOR_EVENT.value, Opcode.INVOKE.value, Opcode.CELERY.value}


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time: ``start`` and ``end`` in milliseconds since 1970, and how it looks."""

    start: int
    end: int
    sign: str
    style: str


@dataclass(slots=True)
class Line:
    """One step, with what it did when."""

    name: str
    bars: list[Bar] = field(default_factory=list)
    note: str = ""

    @property
    def start(self) -> int:
        return min(bar.start for bar in self.bars)

    @property
    def end(self) -> int:
        return max(bar.end for bar in self.bars)


def timeline(history: History, *, now: int, width: int = _WIDTH) -> Table:
    """Draw a run for the terminal.

    Args:
        history: the run, from ``inngest_celery.store.history.history_of``.
        now: milliseconds since 1970; where the bars of a run that goes on end.
        width: characters of the drawing, without names and lengths.

    Returns:
        What rich prints: ``rich.print(timeline(history, now=now))``.
    """
    run = history.run
    end = max(run.ended_at or now, run.created_at + 1)
    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column(no_wrap=True, overflow="ellipsis", max_width=40)
    drawn.add_column(no_wrap=True)
    drawn.add_column(justify="right", no_wrap=True)
    drawn.add_column(overflow="ellipsis", no_wrap=True, style="dim")
    started = run.started_at or end
    whole = Line("run", [Bar(run.created_at, started, "░", "dim"), Bar(started, end, "━", "bold")])
    for line in [whole, *lines_of(history, end)]:
        drawn.add_row(
            Text(line.name),
            _draw(line.bars, run.created_at, end, width),
            duration(line.end - line.start),
            Text(line.note),
        )
    return drawn


def lines_of(history: History, end: int) -> list[Line]:
    """Give the steps of a run in the order in which they began, each with its failed attempts."""
    lines: dict[str, Line] = {}
    for failed in history.attempts:
        line = lines.setdefault(failed.step_id, Line(failed.name or "(function)"))
        line.bars.append(Bar(failed.started_at, failed.ended_at, _FAILED, "red"))
    for step in history.steps:
        line = lines.setdefault(step.id, Line(step.name))
        sign = "─" if step.op in _PASSIVE else "█"
        line.bars.append(Bar(step.started_at, step.ended_at, sign, "red" if step.failed else "green"))
        line.note = _attempts(step.attempt + 1, failed=step.failed)
    for wait in history.waits:
        if not wait.key.startswith("cancel:"):
            line = lines.setdefault(wait.key, Line(wait.name))
            line.bars.append(Bar(wait.created_at, end, "░", "yellow"))
            asked = asked_task(history.job_of(wait))
            line.note = f"waits for {wait.event_name or (asked and asked.task) or 'a run'}"
    for job in history.jobs:
        if job.kind not in ("start", "resume", "deadline", "deliver", "timeout", "celery"):
            line = lines.setdefault(job.key, Line(job.name))
            line.bars.append(Bar(min(job.created_at, end), end, "░", "cyan"))
            line.note = "runs" if job.leased_by else f"{job.kind} is due"
    return sorted(lines.values(), key=lambda line: (line.start, line.end))


def _attempts(count: int, *, failed: bool) -> str:
    made = "" if count == 1 else f"{count} attempts"
    return ", ".join(filter(None, ["failed" if failed else "", made]))


def _draw(bars: list[Bar], start: int, end: int, width: int) -> Text:
    """Draw the bars on one line. Each takes a character at least, so that the shortest is seen beside a long sleep."""
    cells = [(" ", "")] * width
    # Where two meet in one character, the failure is what one wants to see.
    for bar in sorted(bars, key=lambda bar: bar.sign == _FAILED):
        first = min((bar.start - start) * width // (end - start), width - 1)
        last = min(max((bar.end - start) * width // (end - start), first + 1), width)
        if bar.end > bar.start or bar.sign not in "░━":
            cells[max(first, 0) : last] = [(bar.sign, bar.style)] * (last - max(first, 0))
    return Text.assemble(*cells)
