"""``encryption``: keys for what is stored, and the way from one key to the next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import recorded
from inngest_celery.cli.group import Failure, HasApp, runtime_for

if TYPE_CHECKING:
    from inngest_celery.store.keyring import Keyring
    from inngest_celery.worker.runtime import Runtime

# One for what is there, and more for what processes write that have not heard of the new key yet.
_ROUNDS = 3
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group()
def encryption() -> None:
    """Encrypt what events, steps and runs hold in the database."""


@encryption.command("new-key")
@click.argument("name")
def new_key(name: str) -> None:
    """Make a key and print it, as inngest_encryption_keys wants it. It is stored nowhere.

    \b
    Example:
      inngest-celery encryption new-key 2026-11
    """
    from inngest_celery.store import keyring

    made = keyring.new_key(name)
    try:
        keyring.keyring_of([made])
    except keyring.KeyringError as error:
        raise Failure(error.code, str(error)) from error
    click.echo(made)


@encryption.command()
@_json
@click.pass_obj
def status(target: HasApp, as_json: bool) -> None:
    """Tell how many values are under which key. It reads all of the tables."""
    from rich.markup import escape

    from inngest_celery.cli import output
    from inngest_celery.store import resealing

    with runtime_for(target) as runtime:
        names = runtime.keyring.names if runtime.keyring else []
        found = list(resealing.census(runtime.database, names))
    if as_json:
        output.print_json(
            {
                "keys": names,
                "values": [
                    {
                        "column": each.place,
                        "key": each.key if each.key in names else None,
                        "encrypted": each.key != resealing.PLAIN,
                        "values": each.values,
                    }
                    for each in found
                ],
            }
        )
        return
    said = {resealing.PLAIN: "not encrypted", resealing.UNKNOWN: "a key that is not there"}
    table = output.table("COLUMN", "KEY", "VALUES")
    for each in found:
        table.add_row(each.place, escape(said.get(each.key, each.key)), str(each.values))
    output.console().print(table)


@encryption.command()
@click.option("--decrypt", is_flag=True, help="Store everything in the clear again.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=200, show_default=True, help="Rows a transaction.")
@click.option(
    "--pause",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Seconds between two transactions: more of them spare what runs meanwhile.",
)
@_json
@click.pass_obj
def rotate(target: HasApp, decrypt: bool, batch: int, pause: float, as_json: bool) -> None:
    """Bring what is stored under the first of inngest_encryption_keys, while work goes on.

    All workers and servers must have that key first in line already, or a later key of theirs cannot be taken away. It
    may be interrupted, killed and repeated: it goes on with what is left.
    """
    from inngest_celery.cli import output, progress
    from inngest_celery.store import resealing

    with runtime_for(target) as runtime:
        keyring = _keyring(runtime)
        to = None if decrypt else keyring.current
        number = resealing.left(runtime.database, to)
        done = 0
        with (
            recorded(runtime, "encryption.rotate", to or "", {"rows": number}) as entry,
            progress.bar("Decrypting" if decrypt else "Encrypting", number) as shown,
        ):
            for _ in range(_ROUNDS):
                if not number:
                    break
                for rows in resealing.reseal(runtime.database, keyring, to, batch):
                    done += rows
                    shown(done)
                    time.sleep(pause)
                # What was written or changed meanwhile.
                number = resealing.left(runtime.database, to)
            entry.tell(rows=done, left=number)
    if number:
        raise Failure(
            "encryption_rotation_incomplete",
            f"{number} rows are not as they should be after {_ROUNDS} rounds: some process goes on writing otherwise. "
            "Deploy the setting to all workers and servers, and repeat the command.",
        )
    if as_json:
        output.print_json({"key": to, "rows": done})
    else:
        changed = "1 row" if done == 1 else f"{done} rows"
        click.echo(
            f"{changed} changed: {'nothing is encrypted' if to is None else f'everything is under the key {to}'}."
        )


def _keyring(runtime: Runtime) -> Keyring:
    keyring = runtime.keyring
    if keyring is None:
        raise Failure(
            "encryption_key_missing",
            "inngest_encryption_keys names no key. `inngest-celery encryption new-key NAME` makes one; what is to be "
            "decrypted needs the keys that it is under.",
        )
    return keyring
