"""``runs``: list runs, look into one, cancel one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inngest_celery.cli.group import HasApp, runtime_for
from inngest_celery.store.rows import RunStatus

if TYPE_CHECKING:
    from inngest_celery.worker.runs import RunInfo


@click.group()
def runs() -> None:
    """List runs, look into one, cancel one."""


@runs.command("list")
@click.option("--status", type=click.Choice([status.name.lower() for status in RunStatus]), help="Only these.")
@click.option("--function", "function_id", metavar="ID", help="Only runs of this function, by its full id.")
@click.option("--before", metavar="RUN_ID", help="Only runs older than this one: the last of the page before.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(
    target: HasApp, status: str | None, function_id: str | None, before: str | None, limit: int, as_json: bool
) -> None:
    """List runs, the newest first."""
    from inngest_celery.cli import output
    from inngest_celery.worker.runs import Runs

    with runtime_for(target) as runtime:
        found = Runs(runtime.app).list(
            status=RunStatus[status.upper()] if status else None, function_id=function_id, before=before, limit=limit
        )
        now = runtime.clock.now()
    if as_json:
        output.print_json([_as_json(run) for run in found])
        return
    listed = output.table("RUN", "FUNCTION", "STATUS", "CREATED", "TOOK", "REASON")
    for run in found:
        took = output.duration((run.ended_at or now) - run.started_at) if run.started_at else ""
        status_text = output.status_text(run.status)
        listed.add_row(run.id, run.function_id, status_text, output.instant(run.created_at), took, run.reason)
    output.console().print(listed if found else "No runs.")


@runs.command()
@click.argument("run_id")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def show(target: HasApp, run_id: str, as_json: bool) -> None:
    """Show what a run has done, what it does and what it waits for."""
    from inngest_celery.cli import output, run_view
    from inngest_celery.store.history import history_of
    from inngest_celery.worker.runs import RunNotFoundError

    with runtime_for(target) as runtime:
        history, now = history_of(runtime.database, run_id), runtime.clock.now()
    if history is None:
        raise RunNotFoundError(run_id)
    if as_json:
        output.print_json(run_view.as_json(history))
    else:
        run_view.show(history, now, output.console())


@runs.command()
@click.argument("run_id")
@click.option("--reason", default="cancelled from the command line", show_default=True, help="Is shown with the run.")
@click.pass_obj
def cancel(target: HasApp, run_id: str, reason: str) -> None:
    """Cancel a run. A step that executes is not stopped, but its result is dropped."""
    from inngest_celery.worker.runs import Runs

    with runtime_for(target) as runtime:
        Runs(runtime.app).cancel(run_id, reason)
    click.echo(f"{run_id} is cancelled.")


def _as_json(run: RunInfo) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    return {
        "id": run.id,
        "function_id": run.function_id,
        "event_id": run.event_id,
        "status": run.status.name.lower(),
        "created_at": iso(run.created_at),
        "started_at": iso(run.started_at),
        "ended_at": iso(run.ended_at),
        "output": run.output,
        "reason": run.reason,
    }
