"""The tables."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figures


def show_contest(console: Console, stack: str, figures: Mapping[str, Figures]) -> None:
    """Print how the ways compare on one stack."""
    table = Table(title=f"{stack}: five trivial steps, two processes", title_justify="left")
    for heading in ("way", "steps/s", "× plain", "p50 ms", "× plain", "p95 ms", "send CPU ms", "CPU ms a step"):
        table.add_column(heading, justify="left" if heading in ("way", "CPU ms a step") else "right")
    for heading in ("statements", "commits", "messages", "target"):
        table.add_column(heading, justify="right")
    for name, each in figures.items():
        table.add_row(
            name,
            f"{each.steps_a_second:.0f}",
            f"{each.steps_ratio:.2f}",
            f"{each.p50:.1f}",
            f"{each.p50_ratio:.2f}",
            f"{each.p95:.1f}",
            f"{each.start_cpu:.2f}",
            ", ".join(f"{part} {used:.2f}" for part, used in each.cpu_per_step.items()),
            *(f"{each.per_step.get(kind, 0):.1f}" for kind in ("statements", "commits", "messages")),
            {None: "", True: "reached", False: "missed"}[each.reached],
        )
    console.print(table)


def show_pairs(console: Console, title: str, rows: Mapping[str, object]) -> None:
    """Print names and values."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, str(value))
    console.print(table)
