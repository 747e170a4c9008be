"""How commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table

from inngest_celery.engine.durations import duration as duration
from inngest_celery.store.rows import RunStatus

_PIPED_WIDTH = 200
_COLOURS = {
    RunStatus.SCHEDULED: "cyan",
    RunStatus.RUNNING: "blue",
    RunStatus.COMPLETED: "green",
    RunStatus.FAILED: "red",
    RunStatus.CANCELLED: "yellow",
    RunStatus.SKIPPED: "dim",
}


def console() -> Console:
    """Give the console; a pipe or file is wide, so that nothing is cut off there."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def table(*columns: str) -> Table:
    """Give an empty table. Its first column is an id, which is never cut off."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        made.add_column(column, no_wrap=position == 0, overflow="fold")
    return made


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json_text(value, indent=2))


def json_text(value: object, indent: int | None = None) -> str:
    """Write JSON to be read; escaped only if half of a surrogate pair is in it, which is no text.

    Example:
        >>> json_text("é"), json_text("\\ud800")
        ('"é"', '"\\\\ud800"')
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def status_text(status: int) -> str:
    """Give a run's status with its colour."""
    known = RunStatus(status)
    return f"[{_COLOURS[known]}]{known.name.lower()}[/]"


def instant(milliseconds: int | None) -> str:
    """Give a time in this machine's zone, to the second.

    Example:
        >>> instant(None)
        ''
    """
    if milliseconds is None:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso(milliseconds: int | None) -> str | None:
    """Give a time for programs: ISO 8601 in UTC, to the millisecond.

    Example:
        >>> iso(1_500)
        '1970-01-01T00:00:01.500+00:00'
    """
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
