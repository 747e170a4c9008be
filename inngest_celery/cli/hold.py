"""``hold``: what must not be deleted, whatever retention, an erasure or somebody at a dashboard says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import operator, recorded, server_runtime
from inngest_celery.cli.completion import FunctionId
from inngest_celery.cli.group import HasApp

if TYPE_CHECKING:
    from inngest_celery.store.holds import Hold


@click.group()
def hold() -> None:
    """Keep runs from being deleted: legal holds."""


@hold.command()
@click.option("--reason", required=True, help="Why, for whoever reads the list; no personal data.")
@click.option("--run", "run_id", metavar="ID", help="This run.")
@click.option("--function", "function_id", type=FunctionId(), metavar="ID", help="All runs of this function.")
@click.option("--where", metavar="EXPRESSION", help="All runs of which it is true: event.data.x == 1, output.y > 2.")
@click.pass_obj
def add(target: HasApp, reason: str, run_id: str | None, function_id: str | None, where: str | None) -> None:
    """Hold runs, those that there are and those to come, with the events that have started them.

    Nothing deletes them from the moment at which this command ends. The hold's id is printed.

    \b
    Example:
      inngest-celery -A proj hold add --reason "case 4711" --where 'event.data.customer == "c7"'
    """
    from inngest_celery.worker import holding

    if [run_id, function_id, where].count(None) != 2:
        raise click.UsageError("Say what is to be held, by one of --run, --function and --where.")
    with server_runtime(target) as runtime:
        # What an expression compares with is in no log.
        what = {"run": run_id} if run_id else {"function": function_id} if function_id else {"where": True}
        with recorded(runtime, "hold.add", run_id or function_id or "", what) as entry:
            made = holding.add(runtime, reason, operator(), run_id=run_id, function_id=function_id, where=where)
            entry.tell(hold=made.id)
    click.echo(made.id)


@hold.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were released.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(target: HasApp, everything: bool, as_json: bool) -> None:
    """List the holds."""
    from rich.markup import escape

    from inngest_celery.cli import output
    from inngest_celery.store import holds

    with server_runtime(target) as runtime, runtime.database.autocommit() as connection:
        found = holds.all_of(connection) if everything else holds.active(connection)
    if as_json:
        output.print_json([_as_json(each) for each in found])
        return
    listed = output.table("HOLD", "SINCE", "BY", "HOLDS", "REASON", "RELEASED")
    for each in found:
        who = (output.instant(each.created_at), escape(each.created_by))
        listed.add_row(each.id, *who, escape(_text(each)), escape(each.reason), output.instant(each.released_at))
    output.console().print(listed if found else "Nothing is held.")


@hold.command()
@click.argument("hold_id", metavar="ID")
@click.pass_obj
def release(target: HasApp, hold_id: str) -> None:
    """Let what was held be deleted again."""
    from inngest_celery.worker import holding

    with server_runtime(target) as runtime, recorded(runtime, "hold.release", hold_id):
        holding.release(runtime, hold_id, operator())
    click.echo(f"Hold {hold_id} is released.")


def _text(each: Hold) -> str:
    if each.run_id:
        return f"run {each.run_id}"
    return f"function {each.function_id}" if each.function_id else f"where {each.expression}"


def _as_json(each: Hold) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    return {
        "id": each.id,
        "reason": each.reason,
        "run": each.run_id,
        "function": each.function_id,
        "where": each.expression,
        "created_by": each.created_by,
        "created_at": iso(each.created_at),
        "released_by": each.released_by,
        "released_at": iso(each.released_at),
    }
