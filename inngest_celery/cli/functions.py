"""``functions``: list those that are registered, and stop one from starting new runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from inngest_celery.cli.group import Failure, HasApp, runtime_for

if TYPE_CHECKING:
    from inngest_celery.store.functions import FunctionRow


@click.group()
def functions() -> None:
    """List functions, archive one."""


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
    listed = output.table("FUNCTION", "TRIGGERS", "QUEUE", "VERSION", "REGISTERED", "ARCHIVED")
    for row in found:
        listed.add_row(
            row.id,
            _triggers(row),
            row.queue,
            str(row.version),
            output.instant(row.updated_at),
            output.instant(row.archived_at),
        )
    output.console().print(listed if found else "No functions: a worker registers its functions when it starts.")


@functions.command()
@click.argument("function_id")
@click.pass_obj
def archive(target: HasApp, function_id: str) -> None:
    """Let a function start no more runs. The runs that it has go on.

    Remove it from the code too, but not before its last run has ended: a worker that has it in its code registers it
    anew when it starts.
    """
    from inngest_celery.store import functions as function_rows

    with runtime_for(target) as runtime, runtime.database.transaction() as connection:
        if not function_rows.archive(connection, function_id, runtime.clock.now()):
            raise Failure(
                "function_not_found",
                f"No function {function_id!r} is registered, or it is archived. `functions list` shows all.",
            )
    click.echo(f"{function_id} is archived.")


def _triggers(row: FunctionRow) -> str:
    triggers = json.loads(row.config)["triggers"]
    return ", ".join(str(trigger.get("event") or f"cron {trigger['cron']}") for trigger in triggers)


def _as_json(row: FunctionRow) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    return {
        "id": row.id,
        "app_id": row.app_id,
        "task_name": row.task_name,
        "queue": row.queue,
        "version": row.version,
        "archived_at": iso(row.archived_at),
        "updated_at": iso(row.updated_at),
        "config": json.loads(row.config),
    }
