"""``erase``: what is known of a person."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import operator, recorded, server_runtime
from inngest_celery.cli.group import Failure, HasApp

if TYPE_CHECKING:
    from inngest_celery.store.erasures import Erasure
    from inngest_celery.worker.erasing.asking import Asked
    from inngest_celery.worker.erasing.closure import Closure
    from inngest_celery.worker.runtime import Runtime

_HELD_BACK = "erasure_held_back"


def asked_for(runtime: Runtime, where: str | None, subject: str | None) -> Asked:
    """Give what ``--where`` or ``--subject`` ask for.

    Raises:
        click.UsageError: neither or both are given, or the subject has no value.
        ExpressionError, SubjectUnknownError: it cannot be read, or is not declared.
    """
    from inngest_celery.worker.erasing import asking

    if (where is None) == (subject is None):
        raise click.UsageError("Say whose data it is, by either --where or --subject.")
    if where is not None:
        return asking.by_expression(where)
    name, equals, value = (subject or "").partition("=")
    if not equals or not value:
        raise click.UsageError("Write --subject NAME=VALUE, such as --subject email=ada@example.com.")
    return asking.by_subject(runtime.settings, name, value)


WHERE = click.option("--where", metavar="EXPRESSION", help='Of what it is true: event.data.email == "a@example.com".')
SUBJECT = click.option("--subject", metavar="NAME=VALUE", help="Whose it is, by a name that inngest_subjects declares.")


@click.command()
@WHERE
@SUBJECT
@click.option("--redact", is_flag=True, help="Keep the rows, and take out what was said in them.")
@click.option("--cancel", "cancels", is_flag=True, help="Cancel first what has not ended; without it, that is refused.")
@click.option("--dry-run", is_flag=True, help="Only count it.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask; a program has to say so.")
@click.option("--confirm-count", type=int, metavar="N", help="That it is so many runs and events, where it is many.")
@click.option("--receipt", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where to.")
@click.option("--resume", metavar="ID", help="Go on with this one.")
@click.option("--wait", "wait_s", default=30.0, show_default=True, help="Seconds for results that are on their way.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def erase(
    target: HasApp,
    where: str | None,
    subject: str | None,
    redact: bool,
    cancels: bool,
    dry_run: bool,
    yes: bool,
    confirm_count: int | None,
    receipt: Path | None,
    resume: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Erase what is known of a person.

    That is the events of which the expression is true, the runs that they have started, what those called and sent, and
    all that came of it; also runs that one of the events has woken. It is counted and planned before anything is
    erased. If it is interrupted, give the same options again: it goes on. What is held is left, and the exit status is
    then 1.

    \b
    Example:
      inngest-celery -A proj erase --where 'event.data.email == "ada@example.com"' --cancel --receipt ada.json
    """
    from inngest_celery.worker.erasing import planning

    with server_runtime(target) as runtime:
        asked = None if resume and where is None and subject is None else asked_for(runtime, where, subject)
        if receipt is not None:
            from inngest_celery.worker.erasing.receipts import public_key

            # Known before anything is gone.
            public_key(runtime.settings)
        if resume:
            erasure = planning.get(runtime, resume)
            if asked is not None and asked.hash(runtime.settings) != erasure.asked:
                raise click.UsageError(f"The erasure {resume} was asked for something else.")
        else:
            assert asked is not None
            begun = _begin(runtime, asked, redact, cancels, dry_run, yes, confirm_count, as_json)
            if begun is None:
                return
            erasure = begun
        ended = _carry_out(runtime, erasure, asked, wait_s)
        if receipt is not None:
            write_receipt(runtime, ended, receipt)
    _print(ended, as_json=as_json)


def _begin(
    runtime: Runtime,
    asked: Asked,
    redact: bool,
    cancels: bool,
    dry_run: bool,
    yes: bool,
    confirm_count: int | None,
    as_json: bool,
) -> Erasure | None:
    """Give the erasure that was begun before, or a new one; ``None`` if it is only to be counted."""
    from inngest_celery.cli import output
    from inngest_celery.cli.progress import bar
    from inngest_celery.worker.erasing import planning

    asked.hash(runtime.settings)
    before = None if dry_run else planning.unfinished(runtime, asked)
    if before is not None:
        click.echo(f"The erasure {before.id} of the same goes on.", err=True)
        return before
    with bar("Looking") as show:
        found = planning.find(runtime, asked, show)
    if dry_run:
        told = _told(found)
        if as_json:
            output.print_json({"dry_run": True, **told})
        else:
            click.echo(", ".join(f"{number:,} {what}" for what, number in told.items()) + ".")
        return None
    confirm_count = _confirmed(runtime, found, cancels, yes, confirm_count)
    planning.check(runtime, found, cancels=cancels, confirmed=confirm_count)
    return planning.store(runtime, asked, found, redacts=redact, cancels=cancels, by=operator())


def _confirmed(runtime: Runtime, found: Closure, cancels: bool, yes: bool, confirm_count: int | None) -> int | None:
    """Ask whoever is at the terminal; give the number that was confirmed.

    Raises:
        Failure: nobody is there to be asked.
    """
    from inngest_celery.worker.erasing import planning

    if confirm_count is not None or not found.size:
        return confirm_count
    much = planning.is_much(runtime, found)
    if sys.stdin.isatty() and not (yes and not much):
        click.echo(f"{found.size:,} runs and events are to be erased for good.", err=True)
        if much:
            return int(click.prompt("That is very much. Type the number to go on", type=int, err=True))
        click.confirm("Go on?", abort=True, err=True)
    elif not yes and not much:
        raise Failure(
            "confirmation_needed",
            f"{found.size} runs and events would be erased, and nobody can be asked here. Give --yes; --dry-run only "
            "counts.",
        )
    return None


def _carry_out(runtime: Runtime, erasure: Erasure, asked: Asked | None, wait_s: float) -> Erasure:
    from inngest_celery.cli.progress import bar
    from inngest_celery.worker.erasing.carrying_out import Erasing

    words = asked.words if asked is not None else frozenset[str]()
    with recorded(runtime, "erasure", erasure.id, {"mode": erasure.mode, "cancels": erasure.cancels}) as entry:
        with bar("Erasing") as show:
            ended = Erasing(runtime, erasure, words, wait_s, show).carry_out()
        entry.tell(rows=json.loads(ended.receipt or "{}").get("rows"))
    return ended


def write_receipt(runtime: Runtime, ended: Erasure, path: Path) -> None:
    """Write the signed receipt of an erasure that has ended."""
    from inngest_celery.cli.output import json_text
    from inngest_celery.worker.erasing.receipts import sign

    with click.open_file(str(path), "w", encoding="utf-8", atomic=True) as out:
        out.write(json_text(sign(runtime.settings, json.loads(ended.receipt or "{}")), indent=2) + "\n")


def _told(found: Closure) -> dict[str, int]:
    return {
        "runs": len(found.runs),
        "events": len(found.events),
        "memos": len(found.memos),
        "live": len(found.live) + len(found.pending),
        "held": len(found.held),
        "count": found.size,
    }


def _print(ended: Erasure, *, as_json: bool) -> None:
    from inngest_celery.cli import output

    told = json.loads(ended.receipt or "{}")
    if as_json:
        output.print_json(told)
    else:
        rows = ", ".join(f"{number:,} in {table}" for table, number in told["rows"].items()) or "nothing"
        done = "Redacted" if ended.mode == "redact" else "Erased"
        click.echo(f"{done}: {rows}. The erasure is {ended.id}.")
    if told["held_back"]:
        number = len(told["held_back"])
        click.echo(f"{number} run(s) are held, and were left with their events. ({_HELD_BACK})", err=True)
        click.get_current_context().exit(1)
