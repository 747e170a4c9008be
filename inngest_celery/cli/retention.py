"""``retention``: what is deleted because of its age; see it before, and do it now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import recorded, server_runtime
from inngest_celery.cli.group import Failure, HasApp

if TYPE_CHECKING:
    from inngest_celery.keeping import KeepRule
    from inngest_celery.worker.runtime import Runtime

_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group()
def retention() -> None:
    """See and do what the rules in inngest_retention say. Workers do it by themselves, every minute."""


@retention.command()
@_json
@click.pass_obj
def preview(target: HasApp, as_json: bool) -> None:
    """Count what each rule would delete now. Nothing is deleted.

    It looks at every run that is old enough. What is held is counted, too, but is not deleted.

    \b
    Example:
      inngest-celery -A proj retention preview
    """
    from inngest_celery.cli import output
    from inngest_celery.worker.keeping.previewing import preview as look

    with server_runtime(target) as runtime:
        _require_rules(runtime)
        found, held, periods = look(runtime)
    if as_json:
        output.print_json(
            {
                "holds": held,
                "rules": [
                    {
                        **due.rule.model_dump(exclude_none=True),
                        "runs": due.runs,
                        "steps": due.steps,
                        "events": due.events,
                        "oldest": output.iso(due.oldest),
                    }
                    for due in found
                ],
                "partitions": [
                    {
                        "until": output.iso(each.period.end_ms),
                        "runs": each.runs,
                        "events": each.events,
                        "stay": each.stay,
                    }
                    for each in periods
                ],
            }
        )
        return
    listed = output.table("RULE", "KEEP", "RUNS", "STEPS", "EVENTS", "OLDEST")
    for due in found:
        numbers = (f"{due.runs:,}", f"{due.steps:,}", f"{due.events:,}")
        listed.add_row(_text(due.rule), due.rule.keep, *numbers, output.instant(due.oldest))
    output.console().print(listed)
    for each in periods:
        click.echo(
            f"The partitions until {each.period.name} are dropped, with {each.runs:,} runs and {each.events:,} events; "
            f"about {each.stay:,} of them stay."
        )
    if held:
        click.echo(f"{held} hold(s) keep what they hold, which is counted here. `hold list` shows them.")


@retention.command()
@click.option("--most", type=click.IntRange(1), metavar="ROWS", help="Stop when so many rows are deleted.")
@_json
@click.pass_obj
def run(target: HasApp, most: int | None, as_json: bool) -> None:
    """Delete now what the rules keep no longer, with progress.

    It does what workers do, in the same short transactions, but until nothing is left to do. It may be interrupted, and
    repeated. A period of partitioned tables goes as a whole, also if that is more than --most.
    """
    from inngest_celery.cli import output
    from inngest_celery.cli.progress import bar
    from inngest_celery.store import removing
    from inngest_celery.store.partitions import PartitionError
    from inngest_celery.worker.keeping import ending
    from inngest_celery.worker.keeping.periods import Periods
    from inngest_celery.worker.keeping.plan import plan_of
    from inngest_celery.worker.keeping.upkeep import keep_up

    counts: dict[str, int] = {}

    def is_enough() -> bool:
        return most is not None and sum(counts.values()) >= most

    with server_runtime(target) as runtime:
        _require_rules(runtime)
        try:
            keep_up(runtime)
        except PartitionError as error:
            # What is old can go all the same.
            click.echo(f"{error} ({error.code})", err=True)
        plan = plan_of(runtime)
        with recorded(runtime, "retention.run", "", {"rules": plan.version[:16]}) as entry, bar("Deleting") as show:
            periods = Periods(runtime)
            periods.begin(plan)
            while periods.more and not is_enough():
                removing.add(counts, periods.go_on(plan))
                show(sum(counts.values()))
            for what, length in ending.lengths(plan):
                more = True
                while more and not is_enough():
                    done = ending.go_on(runtime, plan, what, length, periods.wait_for)
                    removing.add(counts, done.counts)
                    show(sum(counts.values()))
                    more = done.more
            entry.tell(rows=counts)
    if as_json:
        output.print_json({"rows": counts})
    else:
        runs, events = counts.get("inngest_run", 0), counts.get("inngest_event", 0)
        click.echo(f"{runs:,} runs and {events:,} events deleted; {sum(counts.values()):,} rows in all.")


def _require_rules(runtime: Runtime) -> None:
    if not runtime.settings.retention:
        raise Failure(
            "retention_not_set",
            'Everything is kept for ever: inngest_retention has no rules. Write for example [{"function": "shop-*", '
            '"keep": "30 days"}].',
        )


def _text(rule: KeepRule) -> str:
    what = f"function {rule.function}" if rule.function else f"event {rule.event}"
    return f"{what}, {rule.status}" if rule.status else what
