"""``subjects``: the index by which a person's data is found."""

from __future__ import annotations

import click

from inngest_celery.cli.access import server_runtime
from inngest_celery.cli.group import Failure, HasApp


@click.group()
def subjects() -> None:
    """Look after the index of whose data it is, which inngest_subjects declares."""


@subjects.command()
@click.pass_obj
def index(target: HasApp) -> None:
    """Put into the index what was stored before the subjects were declared.

    Do it once all processes have the new settings; until then, erase and export look at everything. It may be
    interrupted, and goes on where it was.
    """
    from inngest_celery.cli.progress import bar
    from inngest_celery.worker.erasing import indexing

    with server_runtime(target) as runtime:
        if runtime.database.subjects is None:
            raise Failure(
                "subjects_not_set",
                'No subjects are declared. Set inngest_subjects, for example to {"email": ["event.data.email"]}.',
            )
        looked_at = 0
        with bar("Indexing") as show:
            for looked_at in indexing.fill(runtime):
                show(looked_at)
    click.echo(f"{looked_at:,} events and runs were looked at. The index is complete.")
