"""``events``: list events, look at one and at what it started, send one, send some again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import recorded, sender
from inngest_celery.cli.choosing import EventChoice, choosing_events
from inngest_celery.cli.group import Failure, HasApp, runtime_for
from inngest_celery.cli.send import send

if TYPE_CHECKING:
    from inngest_celery.store.rows import Event, Run
    from inngest_celery.worker.runtime import Runtime
    from inngest_celery.worker.selecting import EventSelection

_SHOWN = 60


@click.group()
def events() -> None:
    """List events, look at one and at what it started, send one, send some again."""


events.add_command(send)


@events.command("list")
@choosing_events
@click.option("--before", metavar="EVENT_ID", help="Only events that came before it: the last of the page before.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(target: HasApp, choice: EventChoice, before: str | None, limit: int, as_json: bool) -> None:
    """List events, the newest first.

    --where looks at 10,000 events at the most; narrow the time with --since and --until, or go on with --before.
    """
    from inngest_celery.cli import output
    from inngest_celery.cli.shapes import event_shape

    _check_id("--before", before)
    with runtime_for(target) as runtime:
        found, next_page = _page(runtime, choice.selection(runtime), before, limit)
    if as_json:
        output.print_json([event_shape(event) for event in found])
    else:
        listed = output.table("EVENT", "NAME", "RECEIVED", "DATA")
        for event in found:
            listed.add_row(event.id, event.name, output.instant(event.received_at), _plain(event))
        output.console().print(listed if found else "No events.")
    if next_page is not None:
        click.echo(f"There may be more: --before {next_page}", err=True)


def _page(runtime: Runtime, chosen: EventSelection, before: str | None, limit: int) -> tuple[list[Event], str | None]:
    """Give events, and behind which one the next page begins, if there may be one."""
    from inngest_celery.engine.searching import LOOKED_AT
    from inngest_celery.worker.selecting import event_slices

    found: list[Event] = []
    looked_at = 0
    for part, count, last in event_slices(runtime, chosen, before=before, size=None if chosen.where else limit + 1):
        found += part
        looked_at += count
        if len(found) > limit:
            return found[:limit], found[limit - 1].id
        if looked_at >= LOOKED_AT:
            return found, last
    return found, None


@events.command()
@click.argument("event_id")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def show(target: HasApp, event_id: str, as_json: bool) -> None:
    """Show an event, and the runs that it has started so far."""
    from inngest_celery.cli import output
    from inngest_celery.cli.shapes import event_shape, run_shape
    from inngest_celery.store import events as event_rows
    from inngest_celery.store import runs
    from inngest_celery.worker.resending import EventNotFoundError

    with runtime_for(target) as runtime, runtime.database.autocommit() as connection:
        event = event_rows.get(connection, event_id)
        started = runs.of_event(connection, event_id)
        if event is None:
            raise EventNotFoundError(event_id)
        event, started = runtime.eyes.event(event), [runtime.eyes.run(run, event.name) for run in started]
    if as_json:
        output.print_json({**event_shape(event), "runs": [run_shape(run) for run in started]})
    else:
        _show(event, started)


def _show(event: Event, started: list[Run]) -> None:
    from rich.text import Text

    from inngest_celery.cli import output
    from inngest_celery.cli.shapes import event_shape

    out, shape = output.console(), event_shape(event)
    out.print(Text.assemble((event.id, "bold"), f"  {event.name}  {output.instant(event.received_at)}"))
    if event.external_id != event.id:
        out.print(Text(f"  its own id: {event.external_id}"))
    out.print_json(data=shape["data"])
    listed = output.table("RUN", "FUNCTION", "STATUS")
    for run in started:
        listed.add_row(run.id, run.function_id, output.status_text(run.status))
    out.print(listed if started else "It has started no runs.")


@events.command()
@click.argument("event_ids", metavar="EVENT_ID...", nargs=-1, required=True)
@click.pass_obj
def replay(target: HasApp, event_ids: tuple[str, ...]) -> None:
    """Send events again, as new ones that happen now, and print their ids: all of them, or none.

    Whatever an event triggers today is started. To repeat runs as they were, use runs rerun or replay.
    """
    from inngest_celery.worker.resending import resend

    subject, details = (event_ids[0], None) if len(event_ids) == 1 else ("", {"ids": list(event_ids)})
    with runtime_for(target) as runtime, recorded(runtime, "event.replay", subject, details) as entry:
        sent = list(resend(runtime, event_ids, sender()))
        entry.tell(ids=sent)
    for new_id in sent:
        click.echo(new_id)


def _check_id(option: str, given: str | None) -> None:
    from inngest_celery import ids

    try:
        ids.time_of(given or ids.first_of(0))
    except ValueError:
        raise Failure("event_id_invalid", f"{option} {given!r} is no id: ids have 26 characters.") from None


def _plain(event: Event) -> str:
    from rich.markup import escape

    return escape(event.data if len(event.data) <= _SHOWN else f"{event.data[: _SHOWN - 1]}…")
