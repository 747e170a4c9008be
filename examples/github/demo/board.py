"""The live display: a table that changes in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from examples.github.demo.figures import Figures
from examples.workers import Worker
from inngest_celery.store.rows import RunStatus

_COLOURS = {
    RunStatus.SCHEDULED: "yellow",
    RunStatus.RUNNING: "blue",
    RunStatus.COMPLETED: "green",
    RunStatus.FAILED: "red",
    RunStatus.CANCELLED: "magenta",
    RunStatus.SKIPPED: "bright_black",
}
_WORKER_COLOURS = {"up": "green", "killed": "bold red", "starting": "yellow", "stopped": "bright_black"}
_BAR = 48
_LINE_SECONDS = 1.0


class Board:
    """Shows what is going on.

    Args:
        console: where.
        workers: all that were ever started; the list grows.
    """

    def __init__(self, console: Console, workers: list[Worker]) -> None:
        self._console = console
        self._workers = workers
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._began = time.monotonic()
        self._line_at = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Tell of something that happens once; it stays on the screen."""
        self._console.print(f"[bright_black]{self._seconds:5.1f} s[/]  {text}", highlight=False, soft_wrap=True)

    def show(self, figures: Figures, travelled: timedelta) -> None:
        """Show the counts."""
        if self._console.is_terminal:
            self._live.update(self._table(figures, travelled), refresh=True)
        elif self._seconds >= self._line_at:
            self._line_at = self._seconds + _LINE_SECONDS
            self._console.print(
                f"{self._seconds:5.1f} s    {_line(figures, travelled)}", highlight=False, soft_wrap=True
            )

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _table(self, figures: Figures, travelled: timedelta) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="bright_black")
        table.add_column()
        table.add_row("time", f"{self._seconds:.1f} s here, {_clock(travelled)} for the functions")
        table.add_row("events", f"{figures.events}")
        table.add_row("runs", _bar(figures))
        table.add_row("", _by_status(figures))
        table.add_row("steps", f"{figures.steps} recorded, {figures.retries} retries")
        table.add_row("asleep", f"{figures.sleeping} sleeping, {figures.waiting} waiting for an event or a function")
        table.add_row("due now", f"{figures.due}")
        table.add_row("workers", Text("  ").join(_worker(worker) for worker in self._workers))
        return Group(Text(), table)


def _line(figures: Figures, travelled: timedelta) -> str:
    runs = ", ".join(_counted(figures)) or "none"
    return (
        f"{_clock(travelled)}  {figures.events} events, {figures.steps} steps, {figures.retries} retries, "
        f"{figures.sleeping} sleeping, {figures.waiting} waiting, {figures.due} due; runs: {runs}"
    )


def _counted(figures: Figures) -> Iterable[str]:
    return (f"{number} {status.name.lower()}" for status, number in sorted(figures.runs.items()))


def _clock(travelled: timedelta) -> str:
    hours, rest = divmod(travelled.seconds, 3600)
    return f"day {travelled.days} {hours:02}:{rest // 60:02}"


def _bar(figures: Figures) -> Text:
    bar = Text()
    total = max(figures.all_runs, 1)
    for status, number in sorted(figures.runs.items(), reverse=True):
        bar.append("━" * round(_BAR * number / total), style=_COLOURS[status])
    return bar


def _by_status(figures: Figures) -> Text:
    counts = [Text(f"{n} {status.name.lower()}", style=_COLOURS[status]) for status, n in sorted(figures.runs.items())]
    return Text("  ").join(counts)


def _worker(worker: Worker) -> Text:
    return Text(f"{worker.name} {worker.state}", style=_WORKER_COLOURS[worker.state])
