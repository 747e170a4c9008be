"""``dev``: everything for development in one process tree, up until Ctrl-C."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inngest_celery.cli.group import Failure, Target

if TYPE_CHECKING:
    from celery import Celery

    from inngest_celery.embedded import Embedded

_BROKER_VARIABLES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")


@click.command()
@click.option("-A", "--app", "name", metavar="MODULE[:APP]", help="The Celery app; may also stand before the command.")
@click.option(
    "--dir", "directory", default=".inngest", show_default=True, type=click.Path(path_type=Path, file_okay=False),
    help="Where the embedded database and broker keep their files.",
)  # fmt: skip
@click.option("--embedded", is_flag=True, help="Use the embedded broker and database even if the app has its own.")
@click.option("-P", "--pool", default="prefork", show_default=True, help="The worker's pool, as for celery worker.")
@click.option("-c", "--concurrency", default=2, show_default=True, help="The worker's processes or threads.")
@click.option("-l", "--loglevel", default="INFO", show_default=True, help="As for celery worker.")
@click.pass_context
def dev(
    context: click.Context,
    name: str | None,
    directory: Path,
    embedded: bool,
    pool: str,
    concurrency: int,
    loglevel: str,
) -> None:
    """Run a worker, with the broker and database that it lacks.

    An app that names no broker gets an embedded Valkey server, and one that names no inngest_database_url a SQLite
    file; what it names is used. --embedded takes the embedded ones even so: the broker in place of the app's own
    (CELERY_BROKER_URL is above what code says), the database only if code does not fix another one. The tables are
    made or brought up to date. A worker that ends is started again. Ctrl-C ends everything, a second one at once.
    """
    from inngest_celery.cli.dev_worker import DevWorker, command_line

    name = name or context.find_root().params.get("app")
    target = Target(name if isinstance(name, str) else None)
    app = target.app
    app.loader.import_default_modules()
    with _services(app, directory, forced=embedded) as stack:
        _migrate(app)
        queues = _queues(app)
        _greet(app, str(name), queues, stack)
        command = command_line(str(name), pool=pool, concurrency=concurrency, loglevel=loglevel, queues=queues)
        DevWorker(command).run(stack)


@contextmanager
def _services(app: Celery, directory: Path, *, forced: bool) -> Iterator[Embedded | None]:
    """Have a broker and a database, by environment variables that the worker inherits."""
    from inngest_celery.embedded import Embedded
    from inngest_celery.settings import settings_of

    stack = Embedded(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if forced or "database_url" not in settings_of(app).model_fields_set:
        os.environ["INNGEST_DATABASE_URL"] = stack.database_url
        if settings_of(app).database_url != stack.database_url:
            raise Failure(
                "embedded_database_fixed",
                "The app's code sets inngest_database_url, so --embedded cannot choose another database. Let the code "
                'read it: os.environ.get("INNGEST_DATABASE_URL", …), or leave --embedded out.',
            )
    if not forced and app.conf.broker_url:
        yield None
        return
    with stack:
        os.environ.update(dict.fromkeys(_BROKER_VARIABLES, stack.broker_url))
        if not app.conf.result_backend:
            os.environ["CELERY_RESULT_BACKEND"] = stack.broker_url
        yield stack


def _migrate(app: Celery) -> None:
    from inngest_celery.store.migrate import upgrade
    from inngest_celery.worker.runtime import runtime_of

    database = runtime_of(app).database
    upgrade(database)
    # The worker opens connections of its own.
    database.dispose()


def _queues(app: Celery) -> list[str]:
    """All queues that the app and its functions use: in development one worker serves them all."""
    from inngest_celery.worker.registry import declared, described
    from inngest_celery.worker.runtime import runtime_of

    used = {described(app, function, 0).queue for function in declared(app)}
    return sorted({*app.amqp.queues, runtime_of(app).route_queue, *used})


def _greet(app: Celery, name: str, queues: list[str], stack: Embedded | None) -> None:
    from celery.app.utils import sanitize_url

    from inngest_celery.store.errors import shown
    from inngest_celery.worker.registry import functions_of
    from inngest_celery.worker.runtime import runtime_of

    functions = functions_of(app).values()
    click.echo(f"database   {shown(runtime_of(app).database.url)}")
    click.echo(f"broker     {sanitize_url(app.conf.broker_url)}{' (embedded)' if stack else ''}")
    click.echo(f"queues     {', '.join(queues)}")
    click.echo(f"functions  {', '.join(sorted(function.id for function in functions)) or 'none: does -A import them?'}")
    events = (
        str(trigger["event"])
        for function in functions
        for trigger in json.loads(json.dumps(function.wire_config()))["triggers"]
        if "event" in trigger and "*" not in trigger["event"]
    )
    event = next(events, "app/something.happened")
    click.echo("\nSend an event from another terminal:")
    click.echo(f"  inngest-celery -A {shlex.quote(name)} send {event} --data '{{}}'")
    if stack:
        click.echo("Programs that send events need these variables:")
        for variable in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "INNGEST_DATABASE_URL"):
            if variable in os.environ:
                click.echo(f"  export {variable}={shlex.quote(os.environ[variable])}")
    click.echo("\nCtrl-C ends it.\n")
