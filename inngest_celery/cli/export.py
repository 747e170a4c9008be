"""``export``: runs, events or steps as JSON lines, or all that is known of a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

import click

from inngest_celery.cli.access import recorded
from inngest_celery.cli.choosing import EventChoice, RunChoice, choosing_events, choosing_runs
from inngest_celery.cli.group import HasApp, runtime_for
from inngest_celery.cli.person import OUTPUT, person

if TYPE_CHECKING:
    from inngest_celery.store.rows import Run
    from inngest_celery.worker.runtime import Runtime
    from inngest_celery.worker.selecting import Selection, Slice

UNMASKED = click.option(
    "--unmasked", is_flag=True, help="Write what inngest_masking hides, but secrets; it is noted in the log of actions."
)
# What is exported so far, how many of it were looked at.
Lines = Iterator[tuple[list[dict[str, Any]], int]]


@click.group()
def export() -> None:
    """Write runs, events or steps, or all that is known of a person, as JSON lines: one value a line.

    Times are ISO 8601 in UTC. However many there are, only some are in memory.

    \b
    Example:
      inngest-celery -A proj export runs --status failed --since 7d --output failed.jsonl
    """


export.add_command(person)


@export.command("runs")
@choosing_runs
@OUTPUT
@UNMASKED
@click.pass_obj
def runs_(target: HasApp, choice: RunChoice, out: IO[str], unmasked: bool) -> None:
    """Write runs with their outputs."""
    choice = replace(choice, unmasked=unmasked)
    with runtime_for(target) as runtime, _noted(runtime, unmasked=unmasked):
        chosen = choice.selection(runtime)
        _write(_runs(runtime, chosen), out, _number(runtime, chosen))


@export.command("steps")
@choosing_runs
@OUTPUT
@UNMASKED
@click.pass_obj
def steps_(target: HasApp, choice: RunChoice, out: IO[str], unmasked: bool) -> None:
    """Write the steps of the runs that are chosen, each with its run's id and function's."""
    choice = replace(choice, unmasked=unmasked)
    with runtime_for(target) as runtime, _noted(runtime, unmasked=unmasked):
        chosen = choice.selection(runtime)
        _write(_steps(runtime, chosen), out, _number(runtime, chosen))


@export.command("events")
@choosing_events
@OUTPUT
@UNMASKED
@click.pass_obj
def events_(target: HasApp, choice: EventChoice, out: IO[str], unmasked: bool) -> None:
    """Write events with their data."""
    from inngest_celery.cli.shapes import event_shape
    from inngest_celery.store import events
    from inngest_celery.worker.selecting import event_slices

    choice = replace(choice, unmasked=unmasked)
    with runtime_for(target) as runtime, _noted(runtime, unmasked=unmasked):
        chosen = choice.selection(runtime)
        with runtime.database.autocommit() as connection:
            number = events.count(
                connection,
                names=sorted(chosen.names),
                since=chosen.since,
                until=chosen.until,
                internal=chosen.internal,
            )
        _write(
            (([event_shape(each) for each in part], looked) for part, looked, _ in event_slices(runtime, chosen)),
            out,
            number,
        )


def _runs(runtime: Runtime, chosen: Selection) -> Lines:
    from inngest_celery.cli.shapes import run_shape
    from inngest_celery.worker.selecting import slices

    for part in slices(runtime, chosen):
        yield [run_shape(run) for run in part.runs], part.looked_at


def _steps(runtime: Runtime, chosen: Selection) -> Lines:
    from inngest_celery.cli.shapes import step_shape
    from inngest_celery.store import runs
    from inngest_celery.worker.selecting import slices

    eyes = chosen.eyes or runtime.eyes
    for part in slices(runtime, chosen, with_events=True):
        with runtime.database.autocommit() as connection:
            found = runs.steps_of(connection, [run.id for run in part.runs])
        yield (
            [
                {
                    "run_id": run.id,
                    "function_id": run.function_id,
                    **step_shape(eyes.step(step, run.function_id, _started_by(part, run))),
                }
                for run in part.runs
                for step in found.get(run.id, ())
            ],
            part.looked_at,
        )


def _started_by(part: Slice, run: Run) -> str | None:
    event = part.events.get(run.event_id)
    return None if event is None else event.name


def _noted(runtime: Runtime, *, unmasked: bool) -> AbstractContextManager[object]:
    """Note it in the log of actions, if more is written than anybody sees."""
    return (
        recorded(runtime, "export.unmasked", click.get_current_context().info_name or "") if unmasked else nullcontext()
    )


def _number(runtime: Runtime, chosen: Selection) -> int:
    from inngest_celery.store import listing

    with runtime.database.autocommit() as connection:
        return listing.count(connection, chosen.wanted)


def _write(lines: Lines, out: IO[str], number: int) -> None:
    from inngest_celery.cli.output import json_text
    from inngest_celery.cli.progress import bar

    looked_at = 0
    with bar("Exporting", number) as show:
        for part, count in lines:
            out.writelines(f"{json_text(each)}\n" for each in part)
            looked_at += count
            show(looked_at)
