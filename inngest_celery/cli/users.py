"""``users``: who may log in to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import access_runtime, ask_password, recorded
from inngest_celery.cli.group import HasApp

if TYPE_CHECKING:
    from inngest_celery.store.users import UserRow

_ROLE = click.Choice(["viewer", "operator", "admin"])


@click.group()
def users() -> None:
    """Say who may log in to the server, and what they may do there."""


@users.command()
@click.argument("name")
@click.option("--role", type=_ROLE, default="viewer", show_default=True, help="What this user may do.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def add(target: HasApp, name: str, role: str, as_json: bool) -> None:
    """Add a user. The password is asked for, or read from the input."""
    from inngest_celery.cli import output

    with access_runtime(target) as runtime:
        from inngest_celery.server.access import accounts
        from inngest_celery.server.access.roles import Role

        written = accounts.checked(name)
        password = ask_password()
        with recorded(runtime, "user.add", written, {"role": role}):
            row = accounts.add(runtime, written, Role[role.upper()], password)
    if as_json:
        output.print_json(_as_json(row))
    else:
        click.echo(f"{row.name} may log in, as {row.role}.")


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(target: HasApp, as_json: bool) -> None:
    """List all users."""
    from inngest_celery.cli import output
    from inngest_celery.store import users as rows

    with access_runtime(target) as runtime, runtime.database.autocommit() as connection:
        found = rows.all_of(connection)
    if as_json:
        output.print_json([_as_json(row) for row in found])
        return
    listed = output.table("USER", "ROLE", "LOGS IN BY", "CREATED", "SHUT OUT")
    for row in found:
        way = "identity provider" if row.external else "password"
        listed.add_row(row.name, row.role, way, output.instant(row.created_at), output.instant(row.disabled_at))
    output.console().print(listed if found else "No users. Add one with: inngest-celery users add NAME --role admin")


@users.command()
@click.argument("name")
@click.argument("new_role", metavar="ROLE", type=_ROLE)
@click.pass_obj
def role(target: HasApp, name: str, new_role: str) -> None:
    """Give a user another role: viewer, operator or admin."""
    with access_runtime(target) as runtime:
        from inngest_celery.server.access import accounts
        from inngest_celery.server.access.roles import Role

        name = accounts.checked(name)
        with recorded(runtime, "user.role", name, {"role": new_role}):
            accounts.set_role(runtime, name, Role[new_role.upper()])
    click.echo(f"{name} is {new_role} now.")


@users.command()
@click.argument("name")
@click.pass_obj
def disable(target: HasApp, name: str) -> None:
    """Shut a user out, and end all of its sessions."""
    with access_runtime(target) as runtime:
        from inngest_celery.server.access import accounts

        name = accounts.checked(name)
        with recorded(runtime, "user.disable", name):
            accounts.disable(runtime, name)
    click.echo(f"{name} is shut out.")


@users.command()
@click.argument("name")
@click.pass_obj
def enable(target: HasApp, name: str) -> None:
    """Let a user in again."""
    with access_runtime(target) as runtime:
        from inngest_celery.server.access import accounts

        name = accounts.checked(name)
        with recorded(runtime, "user.enable", name):
            accounts.enable(runtime, name)
    click.echo(f"{name} may log in again.")


@users.command()
@click.argument("name")
@click.pass_obj
def password(target: HasApp, name: str) -> None:
    """Give a user another password, and end all of its sessions. It is asked for, or read from the input."""
    with access_runtime(target) as runtime:
        from inngest_celery.server.access import accounts

        name, given = accounts.checked(name), ask_password()
        with recorded(runtime, "user.password", name):
            accounts.set_password(runtime, name, given)
    click.echo(f"{name} has a new password.")


def _as_json(row: UserRow) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    return {
        "name": row.name,
        "role": row.role,
        "external": row.external is not None,
        "created_at": iso(row.created_at),
        "disabled_at": iso(row.disabled_at),
    }
