"""``export person``: all that is known of somebody, as JSON lines: what an erasure would erase."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from inngest_celery.cli.access import recorded, server_runtime
from inngest_celery.cli.erase import SUBJECT, WHERE, asked_for
from inngest_celery.cli.group import HasApp

if TYPE_CHECKING:
    from inngest_celery.worker.erasing.closure import Closure
    from inngest_celery.worker.runtime import Runtime

Line = dict[str, Any]


OUTPUT = click.option(
    "-o",
    "--output",
    "out",
    type=click.File("w", encoding="utf-8", atomic=True),
    default="-",
    metavar="FILE",
    help="Where to; standard output, if left out. The file is there once all is in it.",
)


@click.command()
@WHERE
@SUBJECT
@OUTPUT
@click.pass_obj
def person(target: HasApp, where: str | None, subject: str | None, out: IO[str]) -> None:
    """Write all that is known of a person: what `erase` with the same options would erase, and what is held.

    Each line says its type: event, run, step or attempt. It is in the audit log that this was done.

    \b
    Example:
      inngest-celery -A proj export person --subject email=ada@example.com --output ada.jsonl
    """
    from inngest_celery.cli.output import json_text
    from inngest_celery.cli.progress import bar
    from inngest_celery.worker.erasing import planning

    with server_runtime(target) as runtime:
        asked = asked_for(runtime, where, subject)
        with bar("Looking") as show:
            found = planning.find(runtime, asked, show)
        told = {"runs": len(found.runs), "events": len(found.events)}
        with recorded(runtime, "export.person", "", told), bar("Exporting", found.size) as show:
            done = 0
            for lines in _all(runtime, found):
                out.writelines(f"{json_text(line)}\n" for line in lines)
                done += len(lines)
                show(min(done, found.size))


def _all(runtime: Runtime, found: Closure) -> Iterator[list[Line]]:
    from inngest_celery.cli.shapes import event_shape, run_shape, step_shape
    from inngest_celery.store import details, events, listing, runs
    from inngest_celery.store.listing import RunFilter
    from inngest_celery.store.removing import started_by
    from inngest_celery.worker.erasing.closure import parts

    event_ids = set(found.events)
    for part in parts(found.held):
        with runtime.database.autocommit() as connection:
            event_ids |= started_by(connection, part)
    for part in parts(event_ids):
        with runtime.database.autocommit() as connection:
            yield [{"type": "event", **event_shape(event)} for event in events.several(connection, part)]
    for part in parts(found.runs | found.held.keys()):
        with runtime.database.autocommit() as connection:
            listed = listing.page(connection, RunFilter(ids=part), listing.Order(descending=False), len(part))
            inside = details.of_runs(connection, part)
        yield [{"type": "run", **run_shape(run)} for run in listed]
        yield [
            {"type": "step", "run_id": run_id, **step_shape(step)}
            for run_id, known in inside.items()
            for step in known.steps
        ]
        yield [
            {"type": "attempt", "run_id": run_id, "step": each.name, "attempt": each.attempt, "error": each.error}
            for run_id, known in inside.items()
            for each in known.attempts
        ]
    wanted: dict[str, set[str]] = {}
    for run_id, key in found.memos:
        wanted.setdefault(run_id, set()).add(key)
    for part in parts(wanted):
        with runtime.database.autocommit() as connection:
            steps = runs.steps_of(connection, part)
        yield [
            {"type": "step", "run_id": run_id, **step_shape(step)}
            for run_id in steps
            for step in steps[run_id]
            if step.id in wanted[run_id]
        ]
