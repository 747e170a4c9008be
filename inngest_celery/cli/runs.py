"""``runs``: list runs, look into one, wait for it, cancel it, run it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import recorded
from inngest_celery.cli.choosing import RunChoice, choosing_runs
from inngest_celery.cli.group import HasApp, runtime_for
from inngest_celery.cli.inputs import read_list
from inngest_celery.cli.report import report

if TYPE_CHECKING:
    from inngest_celery.store.rows import Run
    from inngest_celery.worker.runtime import Runtime
    from inngest_celery.worker.selecting import Selection


@click.group()
def runs() -> None:
    """List runs, look into one, wait for it, cancel it, run it again."""


runs.add_command(report)


@runs.command("list")
@choosing_runs
@click.option("--before", metavar="RUN_ID", help="Only runs older than this one: the last of the page before.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(target: HasApp, choice: RunChoice, before: str | None, limit: int, as_json: bool) -> None:
    """List runs, the newest first.

    --where reads the event, and the output or the error of each run. It looks at 10,000 runs at the most; narrow the
    time with --since and --until, or go on with --before.

    \b
    Example:
      inngest-celery -A proj runs list --status failed --since 2h --where 'event.data.plan == "pro"'
    """
    from inngest_celery.cli import output
    from inngest_celery.cli.shapes import run_shape

    with runtime_for(target) as runtime:
        found, next_page = _page(runtime, choice.selection(runtime), before, limit)
        now = runtime.clock.now()
    if as_json:
        output.print_json([run_shape(run) for run in found])
    else:
        listed = output.table("RUN", "FUNCTION", "STATUS", "CREATED", "TOOK", "REASON")
        for run in found:
            took = output.duration((run.ended_at or now) - run.started_at) if run.started_at else ""
            status_text = output.status_text(run.status)
            listed.add_row(run.id, run.function_id, status_text, output.instant(run.created_at), took, run.reason)
        output.console().print(listed if found else "No runs.")
    if next_page is not None:
        click.echo(f"There may be more: --before {next_page}", err=True)


def _page(runtime: Runtime, chosen: Selection, before: str | None, limit: int) -> tuple[list[Run], str | None]:
    """Give runs, and behind which one the next page begins, if there may be one."""
    from inngest_celery.engine.searching import LOOKED_AT
    from inngest_celery.store.listing import Order
    from inngest_celery.worker.selecting import slices

    order = Order(after=(0, before) if before else None)
    found: list[Run] = []
    looked_at = 0
    for part in slices(runtime, chosen, order, size=None if chosen.where else limit + 1):
        found += part.runs
        looked_at += part.looked_at
        if len(found) > limit:
            return found[:limit], found[limit - 1].id
        if looked_at >= LOOKED_AT:
            return found, part.last.id
    return found, None


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
        history = runtime.eyes.history(history)
    if as_json:
        output.print_json(run_view.as_json(history))
    else:
        run_view.show(history, now, output.console())


@runs.command()
@click.argument("run_id")
@click.option("--reason", default="cancelled from the command line", show_default=True, help="Is shown with the run.")
@click.pass_obj
def cancel(target: HasApp, run_id: str, reason: str) -> None:
    """Cancel a run. A step that executes is not stopped, but its result is dropped.

    The command cancel, without runs before it, cancels many.
    """
    from inngest_celery.worker.runs import Runs

    with runtime_for(target) as runtime, recorded(runtime, "run.cancel", run_id):
        Runs(runtime.app).cancel(run_id, reason)
    click.echo(f"{run_id} is cancelled.")


@runs.command()
@click.argument("run_id")
@click.option("--from-step", metavar="STEP", help="The id or hash of a step: those before it are not executed again.")
@click.option(
    "--input",
    "step_input",
    metavar="JSON|@FILE|-",
    help="What that step is called with instead, as a list; only for functions that are called over HTTP.",
)
@click.pass_obj
def rerun(target: HasApp, run_id: str, from_step: str | None, step_input: str | None) -> None:
    """Run a run again, and print the new run's id. Its idempotency and rate limit do not count.

    The command replay does so with many runs.
    """
    from inngest_celery.worker import rerunning

    if step_input is not None and from_step is None:
        raise click.UsageError("--input is what a step is called with: say which one with --from-step.")
    given = None if step_input is None else read_list(step_input, "--input")
    details = {"step": from_step} if from_step else None
    with runtime_for(target) as runtime, recorded(runtime, "run.rerun", run_id, details) as entry:
        new_id = rerunning.rerun(runtime, run_id, from_step=from_step, step_input=given)
        entry.tell(run_id=new_id)
    click.echo(new_id)


@runs.command()
@click.argument("run_id")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer than this.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole run.")
@click.pass_obj
def wait(target: HasApp, run_id: str, timeout: float | None, as_json: bool) -> None:
    """Wait until a run has ended, and print its output.

    RUN_ID may also be the id of an event that starts one run. The exit status is 1 if the run did not complete, and 5
    if it did not end in time.
    """
    from inngest_celery.cli import waiting
    from inngest_celery.worker.runs import seen

    with runtime_for(target) as runtime:
        run = seen(runtime.eyes, waiting.wait(runtime, run_id, timeout))
    waiting.print_end(run, as_json=as_json)
    waiting.exit_for(run.status)


@runs.command()
@click.argument("run_id")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Watch no longer than this.")
@click.pass_obj
def watch(target: HasApp, run_id: str, timeout: float | None) -> None:
    """Watch a run until it ends: its steps against time on a terminal, else a line for whatever happens.

    The exit status is 1 if the run did not complete, and 5 if it did not end in time.
    """
    from inngest_celery.cli import waiting, watching

    with runtime_for(target) as runtime:
        status = watching.watch(runtime, run_id, timeout)
    waiting.exit_for(status)
