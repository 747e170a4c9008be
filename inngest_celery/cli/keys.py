"""``keys``: what events may be sent with, made and changed while the server runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import access_runtime, operator, recorded
from inngest_celery.cli.group import Failure, HasApp
from inngest_celery.cli.inputs import read_duration

if TYPE_CHECKING:
    from inngest_celery.server.access.event_keys import NewKey
    from inngest_celery.store.event_keys import KeyRow
    from inngest_celery.worker.signing_keys import KnownKey

_SIGNING = (
    "A signing key signs calls of apps, so the server has to have the key itself and not its hash: it is a setting. "
    "Make one with `openssl rand -hex 32`, set it as INNGEST_SIGNING_KEY_FALLBACK of servers, workers and apps, then "
    "swap both; both are good meanwhile. `keys list` shows when each was used last."
)


@click.group()
def keys() -> None:
    """Make, change and revoke event keys, with which events are sent to the server."""


@keys.command()
@click.option("--kind", default="event", show_default=True, type=click.Choice(["event", "signing"]), help="Which kind.")
@click.option("--name", required=True, help="What it is for, such as ci.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="EVENT",
    help="What it may send: a name, or 'shop/*'; repeat it for several. All events, if left out.",
)
@click.option("--expires", metavar="DURATION", help="For how long it is good, such as 90d; else until it is revoked.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def create(target: HasApp, kind: str, name: str, scopes: tuple[str, ...], expires: str | None, as_json: bool) -> None:
    """Make a key, and print it. It is not shown again: only its hash is stored."""
    if kind == "signing":
        raise Failure("key_kind_unsupported", _SIGNING)
    lasts_ms = read_duration(expires, "--expires") if expires else None
    with access_runtime(target) as runtime:
        from inngest_celery.server.access import event_keys

        with recorded(runtime, "key.create", name, {"scopes": list(scopes), "expires": expires}) as entry:
            made = event_keys.create(runtime, name, scopes, created_by=operator(), lasts_ms=lasts_ms)
            entry.tell(key=made.row.id)
    _print_new(made, as_json=as_json)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(target: HasApp, as_json: bool) -> None:
    """List all keys that were made so, the newest first, but not what they are; and uses of signing keys."""
    from rich.markup import escape

    from inngest_celery.cli import output
    from inngest_celery.store import event_keys as rows
    from inngest_celery.worker import signing_keys

    with access_runtime(target) as runtime:
        with runtime.database.autocommit() as connection:
            found = rows.all_of(connection)
        signing = signing_keys.known(runtime)
    if as_json:
        output.print_json([*map(_as_json, found), *map(_signing_as_json, signing)])
        return
    listed = output.table("KEY", "FOR", "MAY SEND", "BY", "CREATED", "GOOD UNTIL", "USED", "REVOKED")
    for row in found:
        times = (row.created_at, row.expires_at, row.used_at, row.revoked_at)
        may_send = escape(", ".join(row.patterns)) or "everything"
        listed.add_row(row.id, escape(row.name), may_send, row.created_by, *map(output.instant, times))
    output.console().print(listed if found else "No keys but those in inngest_event_keys.")
    if signing:
        uses = output.table("SIGNING KEY", "NOTED SINCE", "GOOD UNTIL", "USED", "BY")
        for key in signing:
            noted, until, used = map(output.instant, (key.seen_at, key.good_until, key.used_at))
            uses.add_row(key.setting or "of no setting any more", noted, until, used, escape(key.used_by))
        output.console().print(uses)


@keys.command()
@click.argument("key_id")
@click.option("--overlap", default="7d", show_default=True, metavar="DURATION", help="How long the old one stays good.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def rotate(target: HasApp, key_id: str, overlap: str, as_json: bool) -> None:
    """Make a key in the place of another one, and print it. Both are good for a while."""
    overlap_ms = read_duration(overlap, "--overlap")
    with access_runtime(target) as runtime:
        from inngest_celery.server.access import event_keys

        with recorded(runtime, "key.rotate", key_id, {"overlap": overlap}) as entry:
            made = event_keys.rotate(runtime, key_id, created_by=operator(), overlap_ms=overlap_ms)
            entry.tell(key=made.row.id)
    _print_new(made, as_json=as_json)


@keys.command()
@click.argument("key_id")
@click.pass_obj
def revoke(target: HasApp, key_id: str) -> None:
    """Make a key good for nothing, within five seconds."""
    with access_runtime(target) as runtime:
        from inngest_celery.server.access import event_keys

        with recorded(runtime, "key.revoke", key_id):
            event_keys.revoke(runtime, key_id)
    click.echo(f"{key_id} is revoked.")


def _print_new(made: NewKey, *, as_json: bool) -> None:
    from inngest_celery.cli import output

    if as_json:
        output.print_json({**_as_json(made.row), "key": made.secret})
        return
    click.echo(made.secret)
    click.echo(f"That is the key, {made.row.id}. It is not shown again.", err=True)


def _signing_as_json(key: KnownKey) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    return {
        "id": key.id or None,
        "kind": "signing",
        "setting": key.setting or None,
        "seen_at": iso(key.seen_at),
        "expires_at": iso(key.good_until),
        "used_at": iso(key.used_at),
        "used_by": key.used_by or None,
    }


def _as_json(row: KeyRow) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    return {
        "id": row.id,
        "kind": row.kind,
        "name": row.name,
        "scopes": row.patterns,
        "created_by": row.created_by,
        "created_at": iso(row.created_at),
        "expires_at": iso(row.expires_at),
        "used_at": iso(row.used_at),
        "revoked_at": iso(row.revoked_at),
        "replaces": row.replaces,
    }
