"""What ``dev`` and ``start`` have in common: a broker and a database, tables, a worker and an HTTP server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from inngest_celery.cli.group import Failure, Target

if TYPE_CHECKING:
    from celery import Celery

    from inngest_celery.embedded import Embedded

BUILT_IN = "inngest_celery.server.worker_app"
_BROKER_VARIABLES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")

Command = TypeVar("Command", bound=Callable[..., Any])


def http_options(command: Command) -> Command:
    """Give a command the options of the official one that say where and for whom to serve."""
    for option in reversed(
        (
            click.option("-p", "--port", default=8288, show_default=True, envvar="INNGEST_PORT", help="HTTP port."),
            click.option(
                "--host", default="127.0.0.1", show_default=True, envvar="INNGEST_HOST", help="Address to listen on."
            ),
            click.option(
                "--connect-gateway-port", "gateway_port", type=int, envvar="INNGEST_CONNECT_GATEWAY_PORT",
                help="Where apps dial in; the port after the HTTP port, if left out.",
            ),
            click.option(
                "-u", "--sdk-url", "sdk_urls", multiple=True, envvar="INNGEST_SDK_URL", metavar="URL",
                help="Where an app is served; repeat it for several.",
            ),
            click.option(
                "--retry-interval", type=float, default=0, envvar="INNGEST_RETRY_INTERVAL", metavar="SECONDS",
                help="A constant pause between attempts; 0: the official table.",
            ),
            click.option(
                "--queue-workers", type=int, default=100, show_default=True, envvar="INNGEST_QUEUE_WORKERS",
                help="How many calls of apps may be under way at a time, where -A names no app.",
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def named_app(context: click.Context, name: str | None) -> tuple[str, Celery]:
    """Give the Celery app that is named, before or behind the command, or our own; and its name."""
    name = name or context.find_root().params.get("app")
    chosen = name if isinstance(name, str) and name else BUILT_IN
    app = Target(chosen).app
    app.loader.import_default_modules()
    if chosen != BUILT_IN:
        from inngest_celery.worker.registry import equip

        # One without functions of its own may carry on those of others.
        equip(app)
    return chosen, app


@contextmanager
def services(app: Celery, directory: Path, *, forced: bool = False) -> Iterator[Embedded | None]:
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


def migrate(app: Celery) -> None:
    """Make the tables, or bring them up to date."""
    from inngest_celery.store.migrate import upgrade
    from inngest_celery.worker.runtime import runtime_of

    database = runtime_of(app).database
    upgrade(database)
    # The worker opens connections of its own.
    database.dispose()


def queues_of(app: Celery) -> list[str]:
    """Give all queues that an app and its functions use: here one worker serves them all."""
    from inngest_celery.worker import legacy_names
    from inngest_celery.worker.registry import declared, described
    from inngest_celery.worker.runtime import runtime_of

    used = {described(app, function, 0).queue for function in declared(app)}
    used |= {legacy_names.queue_of(app, name) for name in legacy_names.replaced_by(app)}
    return sorted({*app.amqp.queues, runtime_of(app).route_queue, *used})


def set_retry_interval(seconds: float) -> None:
    """Let this process and its worker wait so long between attempts, if it is anything."""
    os.environ.pop("INNGEST_RETRY_INTERVAL", None)
    if seconds:
        os.environ["INNGEST_RETRY_INTERVAL"] = str(seconds)
