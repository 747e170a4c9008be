"""The last table, and one run's way through time."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from examples.github.demo.proof import Proof
from examples.github.demo.timeline import timeline
from inngest_celery.store.database import Database


def show(console: Console, database: Database, proof: Proof, seconds: float) -> None:
    """Print one run's steps, the numbers of all runs, and what is wrong with them if anything is.

    Args:
        seconds: how long it took, on this machine's clock.
    """
    # A release has nearly everything: it signs, uploads with retries, waits for its embargo and sends an event.
    drawn = timeline(database, "github-release")
    if drawn is not None:
        console.print(drawn)
    console.print(_table(proof, seconds))
    for problem in proof.problems:
        console.print(f"[bold red]wrong:[/] {problem}", highlight=False)
    if not proof.problems:
        console.print("[green]Every run ended. Nothing was lost, nothing was recorded twice, nothing is left over.[/]")


def _table(proof: Proof, seconds: float) -> Table:
    table = Table(title="\nA week on GitHub", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="bright_black")
    runs = sum(proof.runs.values())
    rows = [
        ("webhooks", proof.webhooks, f"{proof.repeated} repeated by GitHub, which started nothing"),
        ("other events", proof.other_events, "sent by steps, by cron and by the engine"),
        *((f"runs {status.name.lower()}", number, "") for status, number in sorted(proof.runs.items())),
        ("steps", proof.steps, "each with one recorded outcome"),
        ("retries", proof.retries, "of uploads that went wrong"),
        ("duplicates recorded", proof.duplicates, ""),
        ("lost", proof.lost, ""),
        ("bodies run again", proof.repeats, f"by SIGKILL, which hit {proof.crashes} processes at work"),
        ("runs per second", round(runs / seconds), f"{runs} in {seconds:.1f} s"),
    ]
    for name, number, remark in rows:
        table.add_row(name, str(number), remark)
    return table
