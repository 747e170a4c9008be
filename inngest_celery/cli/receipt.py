"""``receipt``: of erasures: the key that signs them, writing one again, verifying one."""

from __future__ import annotations

from pathlib import Path

import click

from inngest_celery.cli.access import server_runtime
from inngest_celery.cli.group import Failure, HasApp


@click.group()
def receipt() -> None:
    """Sign and verify the receipts of erasures."""


@receipt.command()
def key() -> None:
    """Make a new key, for inngest_receipt_key, and the public one, for whoever is to verify.

    The first line is secret.
    """
    from inngest_celery.worker.erasing.receipts import new_key

    private, public = new_key()
    click.echo(f"inngest_receipt_key: {private}")
    click.echo(f"public key: {public}")


@receipt.command()
@click.argument("erasure_id", metavar="ERASURE")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def write(target: HasApp, erasure_id: str, file: Path) -> None:
    """Write the receipt of an erasure that has ended, once more."""
    from inngest_celery.cli.erase import write_receipt
    from inngest_celery.worker.erasing import planning

    with server_runtime(target) as runtime:
        found = planning.get(runtime, erasure_id)
        if found.ended_at is None:
            raise Failure("erasure_unfinished", f"It has not ended. Finish it with: erase --resume {erasure_id}")
        write_receipt(runtime, found, file)


@receipt.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", "public", metavar="PUBLIC_KEY", help="The public key; that of inngest_receipt_key, if left out.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def verify(target: HasApp, file: Path, public: str | None, as_json: bool) -> None:
    """Tell whether a receipt is as it was signed, and what it says.

    \b
    Example:
      inngest-celery receipt verify ada.json --key "…"
    """
    from inngest_celery.cli import output
    from inngest_celery.worker.erasing import receipts

    if public is None:
        with server_runtime(target) as runtime:
            public = receipts.public_key(runtime.settings)
    body = receipts.verify(file.read_text(encoding="utf-8"), public)
    if as_json:
        output.print_json(body)
        return
    rows = ", ".join(f"{number:,} in {table}" for table, number in body["rows"].items()) or "nothing"
    click.echo(
        f"The signature is right. Erasure {body['erasure']}, ended at {body['ended_at']} by {body['by']}: {rows}."
    )
    if body["held_back"]:
        click.echo(f"{len(body['held_back'])} run(s) were held back.")
