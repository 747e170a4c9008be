"""``cancel`` and ``replay``: the same for many runs, counted first."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import recorded
from inngest_celery.cli.choosing import RunChoice, choosing_runs
from inngest_celery.cli.group import Failure, HasApp, runtime_for

if TYPE_CHECKING:
    from inngest_celery.worker.bulk import Progress
    from inngest_celery.worker.runtime import Runtime
    from inngest_celery.worker.selecting import Selection

_everything = click.option("--all", "everything", is_flag=True, help="All of them, where nothing else says which.")
_dry = click.option("--dry-run", is_flag=True, help="Only count them.")
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask; a program has to say so.")
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.command()
@choosing_runs
@_everything
@click.option("--reason", default="cancelled from the command line", show_default=True, help="Is shown with each run.")
@_dry
@_yes
@_json
@click.pass_obj
def cancel(
    target: HasApp, choice: RunChoice, everything: bool, reason: str, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Cancel many runs: those that are chosen and have not ended.

    They are counted first, and on a terminal you are asked. Steps that execute are not stopped, but their results are
    dropped. It may be interrupted, and repeated. Runs that come later are left alone.

    \b
    Example:
      inngest-celery -A proj cancel --function shop-import --since 1h --where 'event.data.customer == "c7"'
    """
    from inngest_celery.cli import output
    from inngest_celery.worker import bulk

    _refuse_everything(choice, everything)
    with runtime_for(target) as runtime:
        chosen = bulk.to_cancel(runtime, choice.selection(runtime))
        number = _count(runtime, chosen)
        if not _goes_on(number, "cancelled", dry_run=dry_run, yes=yes, as_json=as_json):
            return
        with recorded(runtime, "runs.cancel", "", {"chosen": number}) as entry:
            end = _through(bulk.cancel(runtime, chosen, reason), "Cancelling", number)
            entry.tell(cancelled=end.done)
    if as_json:
        output.print_json({"chosen": end.chosen, "cancelled": end.done, "ended_before": end.before})
    else:
        ended = f" {_runs(end.before)} had ended meanwhile." if end.before else ""
        click.echo(f"{_runs(end.done)} cancelled.{ended}")


@click.command()
@choosing_runs
@_everything
@click.option("--resume", "resumed", metavar="REPLAY_ID", help="Go on with a replay: no run is repeated twice by it.")
@_dry
@_yes
@_json
@click.pass_obj
def replay(
    target: HasApp, choice: RunChoice, everything: bool, resumed: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Run many runs again: those that are chosen; only failed ones, unless --status says otherwise.

    They are counted first, and on a terminal you are asked. Each is repeated on its events as they were, by the
    function as it is now; idempotency and rate limits do not count. The replay's id is printed. If it is interrupted,
    give the same options and --resume with that id: it goes on, and repeats no run twice. The exit status is 1 if some
    cannot be repeated, because their function is gone.

    \b
    Example:
      inngest-celery -A proj replay --function shop-charge --since 1d --where 'error.message.contains("timeout")'
    """
    from dataclasses import replace

    from inngest_celery.worker import bulk

    _refuse_everything(choice, everything)
    choice = choice if choice.statuses else replace(choice, statuses=("failed",))
    with runtime_for(target) as runtime:
        replay_id = resumed or bulk.new_replay_id(runtime)
        chosen = bulk.to_replay(runtime, choice.selection(runtime), replay_id)
        number = _count(runtime, chosen)
        if not _goes_on(number, "run again", dry_run=dry_run, yes=yes, as_json=as_json):
            return
        click.echo(f"Replay {replay_id}. If it is interrupted, go on with the same and --resume {replay_id}", err=True)
        with recorded(runtime, "runs.replay", "", {"chosen": number, "replay": replay_id}) as entry:
            end = _through(bulk.replay(runtime, chosen, replay_id), "Starting", number)
            entry.tell(started=end.done)
    _print_replay(end, replay_id, as_json=as_json)
    if end.refused:
        click.get_current_context().exit(1)


def _print_replay(end: Progress, replay_id: str, *, as_json: bool) -> None:
    from inngest_celery.cli import output

    if as_json:
        done = {"chosen": end.chosen, "started": end.done, "started_before": end.before, "refused": dict(end.refused)}
        output.print_json({"replay_id": replay_id, **done})
        return
    before = f" {_runs(end.before)} had been started before." if end.before else ""
    click.echo(f"{_runs(end.done)} started.{before}")
    for reason, times in end.refused.most_common():
        click.echo(f"{_runs(times)} cannot be repeated: {reason}", err=True)


def _refuse_everything(choice: RunChoice, everything: bool) -> None:
    """A command whose options were forgotten is not to concern all there is."""
    if choice.is_everything and not everything:
        raise click.UsageError("Say which runs, by --function, --status, --since and so on; or --all.")
    if everything and not choice.is_everything:
        raise click.UsageError("--all is for where no other option says which runs.")


def _count(runtime: Runtime, chosen: Selection) -> int:
    from inngest_celery.cli.progress import bar
    from inngest_celery.worker import bulk

    number = 0
    with bar("Counting") as show:
        for progress in bulk.count(runtime, chosen):
            number = progress.chosen
            show(progress.looked_at)
    return number


def _goes_on(number: int, what: str, *, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Say how many there are, and ask unless it was answered; false if nothing is to be done.

    Raises:
        Failure: nobody is there to be asked.
    """
    from inngest_celery.cli import output

    if dry_run:
        if as_json:
            output.print_json({"dry_run": True, "chosen": number})
        else:
            click.echo(f"{_runs(number)} would be {what}.")
        return False
    if yes or not number:
        return True
    if not sys.stdin.isatty():
        raise Failure(
            "confirmation_needed",
            f"{_runs(number)} would be {what}, and nobody can be asked here. Give --yes; --dry-run only counts.",
        )
    click.confirm(f"{_runs(number)} will be {what}. Go on?", abort=True, err=True)
    return True


def _through(steps: Iterator[Progress], title: str, number: int) -> Progress:
    """Do it all, with a bar; give how it ended."""
    from inngest_celery.cli.progress import bar
    from inngest_celery.worker.bulk import Progress

    progress = Progress()
    with bar(title, number) as show:
        for progress in steps:
            show(progress.chosen)
    return progress


def _runs(number: int) -> str:
    return f"{number:,} run{'' if number == 1 else 's'}"
