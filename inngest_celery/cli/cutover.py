"""``cutover``: see how far calls have moved from old code to functions, and move more of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import recorded
from inngest_celery.cli.group import HasApp, runtime_for

if TYPE_CHECKING:
    from celery import Celery

    from inngest_celery.sdk.cutover import Cutover

_ANSWERS = {True: "same", False: "different", None: "unanswered"}


class CutoverNotFoundError(LookupError):
    """There is no old code of this name whose calls move to a function."""

    code = "cutover_not_found"


@click.group()
def cutover() -> None:
    """See how far calls have moved from old code to functions, and move more of them."""


@cutover.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(target: HasApp, as_json: bool) -> None:
    """List what moves: how many calls the function takes, and how many of the others it shadows."""
    from inngest_celery.cli import output
    from inngest_celery.store import cutovers
    from inngest_celery.worker.registry import cutovers_of

    rows = []
    with runtime_for(target) as runtime, runtime.database.autocommit() as connection:
        for each in cutovers_of(runtime.app):
            told = cutovers.get(connection, each.name)
            holds = told or each.opts.shares
            rows.append((each.name, each.function.id, holds.percent, holds.shadow, "set" if told else "code"))
    if as_json:
        names = ("name", "function", "percent", "shadow", "by")
        output.print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    listed = output.table("OLD CODE", "FUNCTION", "TAKES", "SHADOWS", "BY")
    for name, function, percent, shadow, by in rows:
        listed.add_row(name, function, f"{percent:g} %", f"{shadow:g} %", by)
    output.console().print(listed if rows else "No calls move: put @client.cutover(...) above the old code.")


@cutover.command("set")
@click.argument("name")
@click.option("--percent", type=click.FloatRange(0, 100), help="Of the calls, how many the function takes.")
@click.option("--shadow", type=click.FloatRange(0, 100), help="Of the others, how many it shadows.")
@click.pass_obj
def set_(target: HasApp, name: str, percent: float | None, shadow: float | None) -> None:
    """Move more calls, or fewer, from now on: within five seconds all processes go by it.

    NAME is the old code's, as `cutover list` gives it. What is left out stays as it is.

    \b
    Example:
      inngest-celery -A proj cutover set proj.tasks.onboard --percent 25
    """
    from inngest_celery.sdk.cutover import Shares
    from inngest_celery.store import cutovers

    if percent is None and shadow is None:
        raise click.UsageError("Say --percent, --shadow, or both.")
    with runtime_for(target) as runtime:
        found = _named(runtime.app, name)
        with runtime.database.autocommit() as connection:
            holds = cutovers.get(connection, name) or found.opts.shares
        chosen = Shares(
            holds.percent if percent is None else percent,
            holds.shadow if shadow is None else shadow,
        )
        details = {"percent": chosen.percent, "shadow": chosen.shadow}
        with recorded(runtime, "cutover.set", name, details), runtime.database.transaction() as connection:
            cutovers.put(connection, name, chosen, runtime.clock.now())
    taken, shadowed = f"{chosen.percent:g} %", f"{chosen.shadow:g} %"
    click.echo(f"{found.function.id} takes {taken} of the calls of {name}, and shadows {shadowed} of the others.")


@cutover.command()
@click.argument("name")
@click.pass_obj
def reset(target: HasApp, name: str) -> None:
    """Let the code's percentages hold again."""
    from inngest_celery.store import cutovers

    with runtime_for(target) as runtime:
        found = _named(runtime.app, name)
        with recorded(runtime, "cutover.reset", name), runtime.database.transaction() as connection:
            cutovers.drop(connection, name)
    shares = found.opts.shares
    click.echo(f"{name}: {shares.percent:g} %, shadow {shares.shadow:g} %, as the code says.")


@cutover.command()
@click.argument("name")
@click.option(
    "--limit", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="How many of the newest."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def report(target: HasApp, name: str, limit: int, as_json: bool) -> None:
    """Tell how often old code and function gave the same in the shadow, and where they differed.

    The exit status is 1 if they ever did. Each comparison is a run, which `runs get` shows whole.
    """
    from inngest_celery.cli import output
    from inngest_celery.worker.runs import Runs, seen

    with runtime_for(target) as runtime:
        comparison = _named(runtime.app, name).comparison
        runs = [seen(runtime.eyes, each) for each in Runs(runtime.app).list(function_id=comparison.id, limit=limit)]
    verdicts, paths, examples = Counter[str](), Counter[str](), dict[str, str]()
    for run in runs:
        found = run.output if run.ended and isinstance(run.output, dict) else {}
        if "same" not in found:
            verdicts["failed" if run.ended else "pending"] += 1
            continue
        verdicts[_ANSWERS[found["same"]]] += 1
        for difference in found.get("differences", []):
            paths[difference["path"]] += 1
            examples.setdefault(difference["path"], run.id)
    told = [{"path": path, "times": times, "run": examples[path]} for path, times in paths.most_common()]
    if as_json:
        output.print_json({"comparisons": dict(verdicts), "differences": told})
    else:
        click.echo(
            ", ".join(f"{count} {word}" for word, count in verdicts.most_common()) or "Nothing was compared yet."
        )
        if told:
            listed = output.table("DIFFERS AT", "TIMES", "SUCH AS")
            for each in told:
                listed.add_row(str(each["path"]), str(each["times"]), str(each["run"]))
            output.console().print(listed)
    if verdicts["different"]:
        click.get_current_context().exit(1)


def _named(app: Celery, name: str) -> Cutover:
    from inngest_celery.worker.registry import cutovers_of

    found = {each.name: each for each in cutovers_of(app)}
    if name not in found:
        there = ", ".join(found) or "there is none"
        raise CutoverNotFoundError(f"No old code named {name!r} has @client.cutover(...). There: {there}.")
    return found[name]
