"""``start``: a server for apps on the official SDKs, with keys, on a database and a broker of one's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inngest_celery.cli import stack as stacks

if TYPE_CHECKING:
    from celery import Celery


@click.command()
@click.option("-A", "--app", "name", metavar="MODULE[:APP]", help="A Celery app whose functions run here, too.")
@click.option("--signing-key", envvar="INNGEST_SIGNING_KEY", required=True, help="Signs calls; apps need the same one.")
@click.option(
    "--signing-key-fallback", envvar="INNGEST_SIGNING_KEY_FALLBACK", help="Accepted, too, while the key is changed."
)
@click.option(
    "--event-key",
    "event_keys",
    multiple=True,
    envvar="INNGEST_EVENT_KEY",
    required=True,
    help="Events may be sent with it; repeat it for several.",
)
@click.option("--postgres-uri", envvar="INNGEST_POSTGRES_URI", help="The database, if it is PostgreSQL.")
@click.option("--redis-uri", envvar="INNGEST_REDIS_URI", help="Broker and flow control, if they are one Redis.")
@click.option(
    "--sqlite-dir",
    default=".inngest",
    show_default=True,
    envvar="INNGEST_SQLITE_DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the embedded database and broker keep their files.",
)
@stacks.http_options
@click.option(
    "--poll-interval",
    type=float,
    default=0,
    show_default=True,
    envvar="INNGEST_POLL_INTERVAL",
    metavar="SECONDS",
    help="How often apps are asked whether they have changed; 0: never.",
)
@click.option("-P", "--pool", help="The worker's pool, as for celery worker: prefork for an app, else threads.")
@click.option("-c", "--concurrency", type=int, help="The worker's processes or threads: 2 for an app.")
@click.option("-l", "--loglevel", default="INFO", show_default=True, help="As for celery worker.")
@click.option("--no-ui", is_flag=True, envvar="INNGEST_NO_UI", help="Serve no dashboard; log-ins and APIs stay.")
@click.option("--tick", type=int, hidden=True, help="Nothing is polled here.")
@click.pass_context
def start(
    context: click.Context,
    name: str | None,
    signing_key: str,
    signing_key_fallback: str | None,
    event_keys: tuple[str, ...],
    postgres_uri: str | None,
    redis_uri: str | None,
    sqlite_dir: Path,
    port: int,
    host: str,
    gateway_port: int | None,
    sdk_urls: tuple[str, ...],
    retry_interval: float,
    queue_workers: int,
    poll_interval: float,
    pool: str | None,
    concurrency: int | None,
    loglevel: str,
    no_ui: bool,
    tick: int | None,
) -> None:
    """Run a server for apps on the official SDKs: the HTTP API, and a worker that calls the apps.

    Without --postgres-uri the database is INNGEST_DATABASE_URL or a SQLite file, without --redis-uri the broker is
    CELERY_BROKER_URL or an embedded Valkey server. More workers for the same database and broker:
    celery -A inngest_celery.server.worker_app worker.
    """
    from inngest_celery.cli.dev_worker import DevWorker, command_line
    from inngest_celery.cli.serving import serving
    from inngest_celery.server.options import Options
    from inngest_celery.settings import listed

    _check_key("--signing-key", signing_key)
    os.environ.pop("INNGEST_DEV", None)
    os.environ["INNGEST_SIGNING_KEY"] = signing_key
    if signing_key_fallback:
        _check_key("--signing-key-fallback", signing_key_fallback)
        os.environ["INNGEST_SIGNING_KEY_FALLBACK"] = signing_key_fallback
    if postgres_uri:
        os.environ["INNGEST_DATABASE_URL"] = _as_sqlalchemy(postgres_uri)
    if redis_uri:
        os.environ["CELERY_BROKER_URL"] = os.environ["INNGEST_REDIS_URL"] = redis_uri
    stacks.set_retry_interval(retry_interval)
    name, app = stacks.named_app(context, name)
    built_in = name == stacks.BUILT_IN
    keys = frozenset(key for given in event_keys for key in listed(given))
    options = Options(
        development=False,
        sdk_urls=sdk_urls,
        discovery=False,
        poll_interval=poll_interval,
        event_keys=keys,
        dashboard=not no_ui,
    )
    with stacks.services(app, sqlite_dir) as stack:
        stacks.migrate(app)
        with serving(app, options, host, port, gateway_port) as served_on:
            click.echo(f"Serving on http://{host}:{served_on}")
            _greet_first(app)
            command = command_line(
                name,
                pool=pool or ("threads" if built_in else "prefork"),
                concurrency=concurrency or (queue_workers if built_in else 2),
                loglevel=loglevel,
                queues=stacks.queues_of(app),
            )
            DevWorker(command).run(stack)


def _greet_first(app: Celery) -> None:
    """Say how somebody can log in, as long as nobody can. The APIs are served all the same, to those with a key."""
    from inngest_celery.store import users
    from inngest_celery.worker.runtime import runtime_of

    runtime = runtime_of(app)
    with runtime.database.autocommit() as connection:
        anybody = users.any_at_all(connection)
    if not anybody and not runtime.settings.oidc_issuer:
        click.echo("Nobody can log in yet. Add a user, with the same INNGEST_DATABASE_URL as here:")
        click.echo("  inngest-celery users add NAME --role admin")


def _check_key(option: str, key: str) -> None:
    from inngest_celery.drivers.http.signing import bare_key

    try:
        bytes.fromhex(bare_key(key))
    except ValueError:
        raise click.BadParameter(
            "must be hexadecimal with an even number of digits, after signkey-prod- if that is there. "
            "Make one with: openssl rand -hex 32",
            param_hint=option,
        ) from None


def _as_sqlalchemy(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"postgresql+psycopg://{rest}" if separator and scheme in ("postgres", "postgresql") else uri
