"""``audit``: who has done what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from inngest_celery.cli.access import server_runtime
from inngest_celery.cli.audit_chain import export, head, seal, verify
from inngest_celery.cli.group import HasApp

if TYPE_CHECKING:
    from inngest_celery.store.audit import AuditRow, OutcomeRow


@click.group()
def audit() -> None:
    """Read the log of what was done by whom, and verify that it is what was written."""


for command in (verify, head, export, seal):
    audit.add_command(command)


@audit.command("list")
@click.option("--actor", metavar="NAME", help="Only what this user or token has done.")
@click.option("--action", metavar="ACTION", help="Only this, such as run.cancel.")
@click.option("--subject", metavar="ID", help="Only what was done to this run, function, app, user or token.")
@click.option("--before", metavar="ID", help="Only entries older than this one: the last of the page before.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_(
    target: HasApp,
    actor: str | None,
    action: str | None,
    subject: str | None,
    before: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List what was done, the newest first.

    An entry is written before its action begins. One without an outcome was begun, and its process ended then.
    """
    from rich.markup import escape

    from inngest_celery.cli import output
    from inngest_celery.store import audit as rows

    with server_runtime(target) as runtime, runtime.database.autocommit() as connection:
        found = rows.page(connection, rows.AuditFilter(actor, action, subject), limit, before)
    if as_json:
        output.print_json([_as_json(row, outcome) for row, outcome in found])
        return
    listed = output.table("ENTRY", "AT", "WHO", "ROLE", "FROM", "ACTION", "SUBJECT", "OUTCOME")
    for row, outcome in found:
        ended = outcome.outcome if outcome else "unknown"
        who = (escape(row.actor), row.role, row.address or row.kind)
        listed.add_row(row.id, output.instant(row.at), *who, row.action, escape(row.subject), ended)
    output.console().print(listed if found else "Nothing was done.")


def _as_json(row: AuditRow, outcome: OutcomeRow | None) -> dict[str, object]:
    from inngest_celery.cli.output import iso

    return {
        "id": row.id,
        "at": iso(row.at),
        "actor": row.actor,
        "kind": row.kind,
        "role": row.role,
        "address": row.address,
        "action": row.action,
        "subject": row.subject,
        "details": json.loads(row.details),
        "outcome": outcome.outcome if outcome else None,
        "ended_at": iso(outcome.at) if outcome else None,
        "outcome_details": json.loads(outcome.details) if outcome else None,
    }
