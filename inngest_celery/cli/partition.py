"""``partition``: on PostgreSQL, keep the tables that grow in partitions by time, so that old ones are dropped whole."""

from __future__ import annotations

import click

from inngest_celery.cli.access import recorded, server_runtime
from inngest_celery.cli.group import HasApp


@click.group()
def partition() -> None:
    """Keep events and steps in partitions by time, which retention drops whole. PostgreSQL only."""


@partition.command()
@click.option(
    "--by",
    "width",
    type=click.Choice(["day", "week", "month"]),
    required=True,
    help="How long a period is. Some twelve of them should be kept, not hundreds.",
)
@click.pass_obj
def convert(target: HasApp, width: str) -> None:
    """Make partitioned tables of those that there are, while workers go on.

    No row is copied: what is there is the first partition, which ends some days from now. It may be interrupted, and
    repeated. There is no way back but a back-up.

    \b
    Example:
      inngest-celery -A proj partition convert --by week
    """
    from inngest_celery.store import partitioning

    with server_runtime(target) as runtime, recorded(runtime, "partition.convert", "", {"by": width}) as entry:
        done = partitioning.convert(runtime.database, width, runtime.clock.now())
        entry.tell(changed=done)
    click.echo(f"The tables are partitioned by {width}." if done else f"They are partitioned by {width} already.")


@partition.command()
@click.pass_obj
def upkeep(target: HasApp) -> None:
    """Make the partitions of the periods to come. Workers do it by themselves, every hour, if they may.

    They may not where their database user does not own the tables: then give it by cron, as the owner. It also has the
    server ANALYZE the tables as wholes, which neither workers nor autovacuum do.
    """
    from inngest_celery.store import partitions
    from inngest_celery.worker.keeping.upkeep import keep_up

    with server_runtime(target) as runtime:
        made = keep_up(runtime)
        partitions.analyse(runtime.database)
    click.echo(f"{made} period(s) have got partitions." if made else "Nothing is missing.")


@partition.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def status(target: HasApp, as_json: bool) -> None:
    """List the periods that there are partitions for, and what they take on the disk."""
    from inngest_celery.cli import output
    from inngest_celery.store import partitions

    with server_runtime(target) as runtime, runtime.database.autocommit() as connection:
        found = partitions.look(connection)
        sizes = partitions.sizes(connection, found)
    if as_json:
        periods = [{"until": output.iso(period.end_ms), "bytes": sizes[period.end]} for period in found.periods]
        output.print_json({"by": found.width, "unfinished": found.unfinished, "periods": periods, "rest": sizes[""]})
        return
    if found.width is None:
        click.echo("The tables are not partitioned.")
        return
    listed = output.table("UNTIL", "ON DISK")
    for period in found.periods:
        listed.add_row(output.instant(period.end_ms), _size(sizes[period.end]))
    listed.add_row("in no period", _size(sizes[""]))
    output.console().print(listed)


def _size(number: int) -> str:
    return f"{number / 1_000_000:,.1f} MB"
