"""The last table, and one run's way through time."""

from __future__ import annotations

import sqlalchemy as sa
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from examples.github.demo.proof import Proof
from inngest_celery.cli.timeline import timeline
from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.store.history import history_of
from inngest_celery.store.rows import RunStatus

_WIDTH = 36


def show(console: Console, database: Database, proof: Proof, seconds: float) -> None:
    """Print one run's steps, the numbers of all runs, and what is wrong with them if anything is.

    Args:
        seconds: how long it took, on this machine's clock.
    """
    drawn = _drawn(database)
    if drawn is not None:
        console.print(drawn)
    console.print(_table(proof, seconds))
    for problem in proof.problems:
        console.print(f"[bold red]wrong:[/] {problem}", highlight=False)
    if not proof.problems:
        console.print("[green]Every run ended; nothing lost, nothing recorded twice, nothing left over.[/]")


def _drawn(database: Database) -> Group | None:
    """Draw the first release. It has nearly everything: it signs, tries uploads again, sleeps and sends an event."""
    run = schema.run
    query = sa.select(run.c.id).where(run.c.function_id == "github-release", run.c.status == RunStatus.COMPLETED.value)
    with database.autocommit() as connection:
        run_id = connection.execute(query.order_by(run.c.id).limit(1)).scalar_one_or_none()
    history = None if run_id is None else history_of(database, run_id)
    if history is None:
        return None
    title = Text(f"\nOne run: {history.run.function_id} {run_id}", style="italic")
    return Group(title, timeline(history, now=history.run.ended_at or 0, width=_WIDTH))


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
        ("bodies run again", proof.repeats, f"at most {proof.crashes}, the processes killed at work"),
        ("runs per second", round(runs / seconds), f"{runs} in {seconds:.1f} s"),
    ]
    for name, number, remark in rows:
        table.add_row(name, str(number), remark)
    return table
