"""``tokens``: what programs may do at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import access_runtime, operator, recorded
from inngest_celery.cli.group import HasApp
from inngest_celery.cli.inputs import read_duration

if TYPE_CHECKING:
    from inngest_celery.store.api_tokens import TokenRow


@click.group()
def tokens() -> None:
    """Make and revoke API tokens, with which programs use the server."""


@tokens.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(["read", "operate", "admin", "events:send"]),
    help="What it allows; repeat it for several.",
)
@click.option("--expires", metavar="DURATION", help="For how long it is good, such as 90d; else until it is revoked.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def create(target: HasApp, name: str, scopes: tuple[str, ...], expires: str | None, as_json: bool) -> None:
    """Make a token, and print it. It is not shown again."""
    from inngest_celery.cli import output

    lasts_ms = read_duration(expires, "--expires") if expires else None
    with access_runtime(target) as runtime:
        from inngest_celery.server.access import api_tokens

        with recorded(runtime, "token.create", name, {"scopes": list(scopes)}) as entry:
            made = api_tokens.create(runtime, name, scopes, created_by=operator(), lasts_ms=lasts_ms)
            entry.tell(token=made.row.id)
    if as_json:
        output.print_json({**_as_json(made.row), "token": made.secret})
        return
    click.echo(made.secret)
    click.echo(f"That is the token, {made.row.id}. It is not shown again.", err=True)


@tokens.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(target: HasApp, as_json: bool) -> None:
    """List all tokens, the newest first, but not what they are."""
    from rich.markup import escape

    from inngest_celery.cli import output
    from inngest_celery.store import api_tokens as rows

    with access_runtime(target) as runtime, runtime.database.autocommit() as connection:
        found = rows.all_of(connection)
    if as_json:
        output.print_json([_as_json(row) for row in found])
        return
    listed = output.table("TOKEN", "FOR", "SCOPES", "BY", "CREATED", "GOOD UNTIL", "USED", "REVOKED")
    for row in found:
        times = (row.created_at, row.expires_at, row.used_at, row.revoked_at)
        listed.add_row(row.id, escape(row.name), row.scopes, row.created_by, *map(output.instant, times))
    output.console().print(listed if found else "No tokens.")


@tokens.command()
@click.argument("token_id")
@click.pass_obj
def revoke(target: HasApp, token_id: str) -> None:
    """Make a token good for nothing, from the next request on."""
    with access_runtime(target) as runtime:
        from inngest_celery.server.access import api_tokens

        with recorded(runtime, "token.revoke", token_id):
            api_tokens.revoke(runtime, token_id)
    click.echo(f"{token_id} is revoked.")


def _as_json(row: TokenRow) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    return {
        "id": row.id,
        "name": row.name,
        "scopes": row.scopes.split(),
        "created_by": row.created_by,
        "created_at": iso(row.created_at),
        "expires_at": iso(row.expires_at),
        "used_at": iso(row.used_at),
        "revoked_at": iso(row.revoked_at),
    }
