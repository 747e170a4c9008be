"""``apps``: list apps; have one register, or remove it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from inngest_celery.cli.access import recorded
from inngest_celery.cli.completion import AppId
from inngest_celery.cli.group import Failure, HasApp, runtime_for

if TYPE_CHECKING:
    from inngest_celery.server.state import Server
    from inngest_celery.worker.runtime import Runtime


@click.group()
def apps() -> None:
    """List apps; have one on an official SDK register, or remove it."""


@apps.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(target: HasApp, as_json: bool) -> None:
    """List apps: those on the official SDKs, and those in Python code that workers have registered."""
    from inngest_celery.cli import output

    with runtime_for(target) as runtime:
        found = _shapes(runtime)
    if as_json:
        output.print_json(found)
        return
    listed = output.table("APP", "METHOD", "SDK", "URL", "FUNCTIONS", "SYNCED", "ERROR")
    for app in found:
        listed.add_row(*(str(value if value is not None else "") for value in app.values()))
    output.console().print(listed if found else "No apps: a worker, or an app itself, registers functions.")


@apps.command()
@click.argument("url")
@click.pass_obj
def sync(target: HasApp, url: str) -> None:
    """Have the app that is served at URL register its functions.

    An app on an SDK that does not answer with them registers at the server that it knows, which must be up.
    """
    with runtime_for(target) as runtime:
        server = _server(runtime)
        from inngest_celery.server import syncing
        from inngest_celery.server.addresses import normalised
        from inngest_celery.server.errors import ApiError
        from inngest_celery.store import apps as app_rows

        try:
            with recorded(runtime, "app.sync", url):
                syncing.sync(server, url)
        except ApiError as error:
            raise Failure(error.code, str(error)) from error
        with runtime.database.autocommit() as connection:
            found = app_rows.at(connection, normalised(url))
    if found is None:
        raise Failure(
            "app_not_registered", f"{url} answered, but has not registered with this database: does it know its server?"
        )
    click.echo(f"{found.id} is registered.")


@apps.command()
@click.argument("app_id", type=AppId())
@click.pass_obj
def remove(target: HasApp, app_id: str) -> None:
    """Archive an app on an official SDK, with its functions. Runs that it has go on."""
    from inngest_celery.worker.selecting import AppNotRegisteredError

    with runtime_for(target) as runtime:
        server = _server(runtime)
        from inngest_celery.server import registration

        with recorded(runtime, "app.remove", app_id):
            removed = registration.remove(server, app_id)
        if not removed:
            raise AppNotRegisteredError(app_id)
    click.echo(f"{app_id} is removed.")


def _shapes(runtime: Runtime) -> list[dict[str, Any]]:
    from inngest_celery.cli.output import iso
    from inngest_celery.store import apps as app_rows
    from inngest_celery.store import functions

    with runtime.database.autocommit() as connection:
        known = functions.all_of(connection)
        found = app_rows.with_python(app_rows.all_of(connection), known)
    counts = Counter(row.app_id for row in known if row.archived_at is None)
    return [
        {
            "id": app.id,
            "method": "python" if app.sdk == app_rows.PYTHON else app.method,
            "sdk": app.sdk,
            "url": app.url or None,
            "functions": counts[app.id],
            "synced_at": iso(app.synced_at),
            "error": app.error,
        }
        for app in found
    ]


def _server(runtime: Runtime) -> Server:
    """Give what registers apps.

    Raises:
        Failure: what that takes is not installed.
    """
    from inngest_celery.cli.serving import HOW_TO_INSTALL, missing_package

    missing = missing_package()
    if missing is not None:
        raise Failure("server_missing", f"This needs more packages ({missing} is missing): {HOW_TO_INSTALL}.")
    from inngest_celery.server.options import Options
    from inngest_celery.server.state import Server

    return Server(runtime, Options(development=not runtime.settings.signing_keys, discovery=False))
