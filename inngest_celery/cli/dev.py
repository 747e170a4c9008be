"""``dev``: everything for development in one process tree, up until Ctrl-C."""

from __future__ import annotations

import json
import os
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inngest_celery.cli import stack as stacks

if TYPE_CHECKING:
    from celery import Celery

    from inngest_celery.embedded import Embedded


@click.command()
@click.option("-A", "--app", "name", metavar="MODULE[:APP]", help="The Celery app; may also stand before the command.")
@click.option(
    "--dir",
    "directory",
    default=".inngest",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the embedded database and broker keep their files.",
)
@click.option("--embedded", is_flag=True, help="Use the embedded broker and database even if the app has its own.")
@click.option("-P", "--pool", help="The worker's pool, as for celery worker: prefork for an app, else threads.")
@click.option("-c", "--concurrency", type=int, help="The worker's processes or threads: 2 for an app.")
@click.option("-l", "--loglevel", default="INFO", show_default=True, help="As for celery worker.")
@stacks.http_options
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    envvar="INNGEST_ALLOWED_HOST",
    metavar="NAME",
    help="Be open to whoever asks for this server by this name, from whatever machine, and not to this machine only: "
    "localhost for a container whose port is published, the container's name, or host.docker.internal. Repeat it for "
    "several; * is any.",
)
@click.option("--no-discovery", is_flag=True, envvar="INNGEST_NO_DISCOVERY", help="Do not look for apps.")
@click.option("--no-poll", is_flag=True, envvar="INNGEST_NO_POLL", help="Ask only apps in error whether they changed.")
@click.option(
    "--poll-interval",
    type=float,
    default=5,
    show_default=True,
    envvar="INNGEST_POLL_INTERVAL",
    metavar="SECONDS",
    help="How often apps are asked whether they have changed.",
)
@click.option("--persist", is_flag=True, hidden=True, help="Everything is kept in any case.")
@click.option("--tick", type=int, hidden=True, help="Nothing is polled here.")
@click.pass_context
def dev(
    context: click.Context,
    name: str | None,
    directory: Path,
    embedded: bool,
    pool: str | None,
    concurrency: int | None,
    loglevel: str,
    port: int,
    host: str,
    gateway_port: int | None,
    sdk_urls: tuple[str, ...],
    retry_interval: float,
    queue_workers: int,
    allowed_hosts: tuple[str, ...],
    no_discovery: bool,
    no_poll: bool,
    poll_interval: float,
    persist: bool,
    tick: int | None,
) -> None:
    """Run a development server: a worker, with the broker and database that it lacks, and the HTTP API for SDKs.

    Without -A it serves apps on the official SDKs only, wherever they are. With -A the worker has that Celery app's
    functions, too. An app that names no broker gets an embedded Valkey server, and one that names no
    inngest_database_url a SQLite file; what it names is used. --embedded takes the embedded ones even so: the broker in
    place of the app's own (CELERY_BROKER_URL is above what code says), the database only if code does not fix another
    one. The tables are made or brought up to date. A worker that ends is started again. Ctrl-C ends everything, a
    second one at once.
    """
    from inngest_celery.cli.dev_worker import DevWorker, command_line
    from inngest_celery.cli.serving import missing_package, serving
    from inngest_celery.server.options import Options

    os.environ["INNGEST_DEV"] = "1"
    stacks.set_retry_interval(retry_interval)
    name, app = stacks.named_app(context, name)
    built_in = name == stacks.BUILT_IN
    options = Options(
        development=True,
        sdk_urls=sdk_urls,
        discovery=not no_discovery and not sdk_urls,
        poll_interval=poll_interval,
        poll_all=not no_poll,
        allowed_hosts=frozenset(name.strip().lower() for name in allowed_hosts),
    )
    with stacks.services(app, directory, forced=embedded) as stack:
        stacks.migrate(app)
        queues = stacks.queues_of(app)
        # An app's own functions need no HTTP.
        alone = not built_in and missing_package() is not None
        with nullcontext() if alone else serving(app, options, host, port, gateway_port) as served_on:
            _greet(app, name, queues, stack, None if served_on is None else f"http://{host}:{served_on}")
            _say_who_may(host, allowed_hosts)
            command = command_line(
                name,
                pool=pool or ("threads" if built_in else "prefork"),
                concurrency=concurrency or (queue_workers if built_in else 2),
                loglevel=loglevel,
                queues=queues,
            )
            DevWorker(command).run(stack)


def _say_who_may(host: str, allowed_hosts: tuple[str, ...]) -> None:
    """Say that whoever listens to other machines is not open to them yet."""
    if host not in ("127.0.0.1", "localhost", "::1") and not allowed_hosts:
        click.echo(
            "Apps on other machines may register and send events. To look at runs and act on them from there, or from "
            "outside\nof this container, give --allowed-host and the name that browsers ask for, as in --allowed-host "
            "localhost,\nor add a user: inngest-celery users add NAME\n"
        )


def _greet(app: Celery, name: str, queues: list[str], stack: Embedded | None, url: str | None) -> None:
    from celery.app.utils import sanitize_url

    from inngest_celery.cli.serving import HOW_TO_INSTALL
    from inngest_celery.store.errors import shown
    from inngest_celery.worker.registry import functions_of
    from inngest_celery.worker.runtime import runtime_of

    functions = functions_of(app).values()
    click.echo(f"database   {shown(runtime_of(app).database.url)}")
    click.echo(f"broker     {sanitize_url(app.conf.broker_url)}{' (embedded)' if stack else ''}")
    click.echo(f"queues     {', '.join(queues)}")
    click.echo(f"server     {url or f'none: {HOW_TO_INSTALL}'}")
    if url:
        click.echo(f"mcp        {url}/mcp")
    if name == stacks.BUILT_IN:
        click.echo("\nApps on the official SDKs find it by themselves with INNGEST_DEV=1, or")
        click.echo(f"  export INNGEST_DEV={url}")
        click.echo("Send an event:")
        click.echo(f'  curl {url}/e/dev --json \'{{"name": "app/something.happened", "data": {{}}}}\'')
        click.echo("\nCtrl-C ends it.\n")
        return
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
