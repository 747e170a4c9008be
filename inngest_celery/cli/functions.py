"""``functions``: list those that are registered; look at one, call it, pause, drain or archive it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import click

from inngest_celery.cli.access import recorded
from inngest_celery.cli.completion import FunctionId
from inngest_celery.cli.group import Failure, HasApp, runtime_for
from inngest_celery.cli.invoke import invoke

if TYPE_CHECKING:
    from inngest_celery.store.functions import FunctionRow
    from inngest_celery.store.rows import Run

_SHOWN_RUNS = 10


@click.group()
def functions() -> None:
    """List functions; look at one, call it, pause, drain or archive it."""


functions.add_command(invoke)


@functions.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(target: HasApp, as_json: bool) -> None:
    """List the functions that workers have registered."""
    from inngest_celery.cli import output
    from inngest_celery.store import functions as function_rows

    with runtime_for(target) as runtime, runtime.database.autocommit() as connection:
        found = sorted(function_rows.all_of(connection), key=lambda row: row.id)
    if as_json:
        output.print_json([_as_json(row) for row in found])
        return
    listed = output.table("FUNCTION", "TRIGGERS", "QUEUE", "VERSION", "REGISTERED", "PAUSED", "ARCHIVED")
    for row in found:
        listed.add_row(
            row.id,
            _triggers(row),
            row.queue,
            str(row.version),
            output.instant(row.updated_at),
            row.paused,
            output.instant(row.archived_at),
        )
    output.console().print(listed if found else "No functions: a worker registers its functions when it starts.")


@functions.command()
@click.argument("function_id", type=FunctionId())
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def show(target: HasApp, function_id: str, as_json: bool) -> None:
    """Show a function: what triggers it, its configuration, and its newest runs."""
    from inngest_celery.cli import output
    from inngest_celery.store import functions as function_rows
    from inngest_celery.store import listing
    from inngest_celery.store.listing import Order, RunFilter
    from inngest_celery.worker.control import FunctionNotRegisteredError

    with runtime_for(target) as runtime, runtime.database.autocommit() as connection:
        row = function_rows.find(connection, function_id)
        if row is None:
            raise FunctionNotRegisteredError(function_id)
        newest = listing.page(connection, RunFilter(function_ids=[row.id]), Order(), _SHOWN_RUNS)
    if as_json:
        output.print_json({**_as_json(row), "newest_runs": [run.id for run in newest]})
    else:
        _show(row, newest)


@functions.command()
@click.argument("function_id", type=FunctionId())
@click.option("--hold", is_flag=True, help="Keep new runs, to start when the function goes on; else they are skipped.")
@click.pass_obj
def pause(target: HasApp, function_id: str, hold: bool) -> None:
    """Let a function start no more runs until it is resumed. The runs that it has go on."""
    from inngest_celery.worker.control import Control

    with runtime_for(target) as runtime:
        mode: Literal["hold", "skip"] = "hold" if hold else "skip"
        with recorded(runtime, "function.pause", function_id, {"mode": mode}):
            Control(runtime.app).pause(function_id, mode)
    click.echo(f"{function_id} is paused: new runs are {'held' if hold else 'skipped'}.")


@functions.command()
@click.argument("function_id", type=FunctionId())
@click.pass_obj
def resume(target: HasApp, function_id: str) -> None:
    """Let a function start runs again, those that were held first."""
    from inngest_celery.worker.control import Control

    with runtime_for(target) as runtime, recorded(runtime, "function.resume", function_id):
        Control(runtime.app).resume(function_id)
    click.echo(f"{function_id} starts runs.")


@functions.command()
@click.argument("function_id", type=FunctionId())
@click.option("--wait", is_flag=True, help="Return when the last of its runs has ended.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer than this.")
@click.pass_obj
def drain(target: HasApp, function_id: str, wait: bool, timeout: float | None) -> None:
    """Let a function end the runs that it has, and skip new ones until it is resumed."""
    from inngest_celery.worker.control import Control

    with runtime_for(target) as runtime:
        control = Control(runtime.app)
        with recorded(runtime, "function.drain", function_id):
            control.drain(function_id)
        click.echo(f"{function_id} is being drained: new runs are skipped.")
        if not wait:
            return
        try:
            control.wait_until_idle(function_id, timeout)
        except TimeoutError as error:
            raise Failure("function_not_idle", str(error)) from error
    click.echo(f"{function_id} has nothing left to do.")


@functions.command()
@click.argument("function_id", type=FunctionId())
@click.pass_obj
def archive(target: HasApp, function_id: str) -> None:
    """Let a function start no more runs. The runs that it has go on.

    Remove it from the code too, but not before its last run has ended: a worker that has it in its code registers it
    anew when it starts.
    """
    from inngest_celery.worker.control import Control

    with runtime_for(target) as runtime, recorded(runtime, "function.archive", function_id):
        Control(runtime.app).archive(function_id)
    click.echo(f"{function_id} is archived.")


def _show(row: FunctionRow, newest: list[Run]) -> None:
    from rich.text import Text

    from inngest_celery.cli import output

    out = output.console()
    out.print(Text.assemble((row.id, "bold"), f"  version {row.version}, queue {row.queue}"))
    state = f"paused: {row.paused}" if row.paused else "starts runs"
    if row.archived_at:
        state = f"archived {output.instant(row.archived_at)}"
    out.print(Text(f"  {state}, registered {output.instant(row.updated_at)}"))
    out.print(Text(f"  triggers: {_triggers(row)}"))
    out.print_json(row.config)
    listed = output.table("RUN", "STATUS", "CREATED")
    for run in newest:
        listed.add_row(run.id, output.status_text(run.status), output.instant(run.created_at))
    out.print(listed if newest else "No runs.")


def _triggers(row: FunctionRow) -> str:
    config = json.loads(row.config)
    triggers = config["triggers"]
    if config.get("task"):
        return "none: a Celery task with limits"
    return ", ".join(str(trigger.get("event") or f"cron {trigger['cron']}") for trigger in triggers)


def _as_json(row: FunctionRow) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    return {
        "id": row.id,
        "app_id": row.app_id,
        "task_name": row.task_name,
        "queue": row.queue,
        "version": row.version,
        "paused": row.paused,
        "archived_at": iso(row.archived_at),
        "updated_at": iso(row.updated_at),
        "config": json.loads(row.config),
    }
