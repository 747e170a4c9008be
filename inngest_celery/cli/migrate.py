"""``migrate``: make the tables, or bring them up to date."""

from __future__ import annotations

import click

from inngest_celery.cli.group import HasApp, runtime_for


@click.command()
@click.option("--sql", is_flag=True, help="Print the SQL that makes all tables in an empty database; do nothing.")
@click.option("--check", is_flag=True, help="Only tell whether there is something to do: then the exit status is 1.")
@click.pass_obj
def migrate(target: HasApp, sql: bool, check: bool) -> None:
    """Make the tables, or bring them up to date.

    Run it once for each release, before the new workers start. The release before goes on working on the new tables.
    Several at once are safe.
    """
    from inngest_celery.store.errors import shown
    from inngest_celery.store.migrate import MigrationState, script_of, state_of, upgrade

    if sql and check:
        raise click.UsageError("--sql and --check exclude each other.")
    with runtime_for(target) as runtime:
        database, name = runtime.database, shown(runtime.database.url)
        if sql:
            click.echo(script_of(database), nl=False)
            return
        state = state_of(database)
        if state is MigrationState.CURRENT:
            click.echo(f"{name} is up to date.")
        elif state is MigrationState.AHEAD:
            click.echo(f"{name} has been migrated by a newer release than this one. Nothing to do.")
        elif check:
            click.echo(f"{name} is to be migrated: its tables are {state}.")
            click.get_current_context().exit(1)
        else:
            upgrade(database)
            click.echo(f"{name} is migrated.")
