"""``audit verify``, ``audit export``, ``audit head`` and ``audit seal``: whether the log is what was written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

import click

from inngest_celery.cli.access import recorded, server_runtime
from inngest_celery.cli.group import Failure, HasApp

if TYPE_CHECKING:
    from inngest_celery.store.audit_chain import Link
    from inngest_celery.store.audit_check import Verdict


@click.command()
@click.option(
    "--head", metavar="HASH", help="A hash that `audit head` gave earlier, kept elsewhere: it must be in the chain."
)
@click.option("--file", "source", type=click.File(encoding="utf-8"), help="Verify what `audit export` gave; -: input.")
@click.option(
    "--key",
    envvar="INNGEST_AUDIT_KEY",
    help="With --file: the key of the log, if it has one. Better give it in INNGEST_AUDIT_KEY.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def verify(target: HasApp, head: str | None, source: IO[str] | None, key: str | None, as_json: bool) -> None:
    """Tell whether the log is what was written: nothing changed, removed, inserted or put in another order.

    The exit status is 1 if it is not, and the first row that is wrong is named. That its end was cut off, or all of it
    made anew, shows only by a hash that was kept elsewhere (--head), or with a key.
    """
    from inngest_celery.cli import output
    from inngest_celery.settings import listed
    from inngest_celery.store import audit_check

    if source is not None:
        verdict = audit_check.check(_exported(source), listed(key or ""), head)
    else:
        with server_runtime(target) as runtime, runtime.database.autocommit() as connection:
            verdict = audit_check.check_database(connection, runtime.settings.audit_keys, head)
    if as_json:
        output.print_json({"intact": verdict.problem is None, **asdict(verdict)})
    else:
        _say(verdict)
    if verdict.problem is not None:
        click.get_current_context().exit(1)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def head(target: HasApp, as_json: bool) -> None:
    """Give the hash of the newest link. Keep it where whoever can write the database cannot: see `audit verify`."""
    from inngest_celery.cli import output
    from inngest_celery.store import audit_chain

    with server_runtime(target) as runtime, runtime.database.autocommit() as connection:
        newest = audit_chain.head(connection)
    seq, made = (newest.seq, newest.hash) if newest else (0, audit_chain.FIRST)
    if as_json:
        output.print_json({"seq": seq, "hash": made})
    else:
        click.echo(made)


@click.command()
@click.pass_obj
def export(target: HasApp) -> None:
    """Print the log as JSON lines with its hashes, which `audit verify --file` can verify without the database."""
    from inngest_celery.cli.output import json_text
    from inngest_celery.store import audit_chain

    with server_runtime(target) as runtime, runtime.database.autocommit() as connection:
        for link, row in audit_chain.links_with_rows(connection):
            click.echo(json_text({**asdict(link), "row": row}))


@click.command()
@click.pass_obj
def seal(target: HasApp) -> None:
    """Chain what processes of an older release have written since the upgrade, and note in the log that it was found.

    What was found is vouched for from now on only: look at it first (audit list). This makes a link in any case, so it
    is also what to do once a key was set.
    """
    from inngest_celery.store import audit_chain
    from inngest_celery.store.conflicts import retried

    with server_runtime(target) as runtime, recorded(runtime, "audit.seal", "") as entry:
        keys, found = runtime.settings.audit_keys, 0

        @retried
        def some() -> int:
            with runtime.database.transaction() as connection:
                return audit_chain.chain_found(connection, keys)

        while (more := some()) > 0:
            found += more
        entry.tell(found=found)
    click.echo(f"{found} rows were found that were in no link; they are chained now.")


def _say(verdict: Verdict) -> None:
    counts = f"{verdict.entries} entries and {verdict.outcomes} outcomes are as they were written"
    details = [f"{verdict.found} of them were there before they were chained"] if verdict.found else []
    details += [f"{verdict.keyed} are chained with a key" if verdict.keyed else "none is chained with a key"]
    problem = verdict.problem
    if problem is None:
        click.echo(f"The log is whole: {counts} ({'; '.join(details)}).")
        click.echo(f"Its head is {verdict.hash}, link {verdict.seq}.")
        return
    where = f"link {problem.seq}" if problem.seq is not None else "no link"
    click.echo(f"The log is NOT what was written: {where}, entry {problem.id or 'none'}: {problem.text}")
    click.echo(f"Before that, {counts}. ({problem.code})")


def _exported(source: IO[str]) -> Iterator[tuple[Link, Mapping[str, Any] | None]]:
    from inngest_celery.store.audit_chain import Link, LinkKind

    for number, line in enumerate(source, 1):
        try:
            read = json.loads(line)
            row = read["row"]
            link = Link(int(read["seq"]), LinkKind(read["kind"]), read["id"], read["key"], read["hash"])
            if not isinstance(row, dict | None) or not all(isinstance(each, str) for each in (link.id, link.hash)):
                raise ValueError("it is of another form")
        except (ValueError, KeyError, TypeError) as error:
            message = f"Line {number} is not one that `audit export` has written: {error!r}"
            raise Failure("audit_export_invalid", message) from error
        yield link, row
