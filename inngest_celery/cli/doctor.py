"""``doctor``: find what is not right with a deployment, and say what to do."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from inngest_celery.cli.group import HasApp, app_of

if TYPE_CHECKING:
    from inngest_celery.cli.checks.findings import Finding


@click.command()
@click.option("--timeout", default=1.0, show_default=True, help="Seconds to wait for the answers of workers.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def doctor(target: HasApp, timeout: float, as_json: bool) -> None:
    """Find what is not right, and say what to do. The exit status is 1 if there are problems.

    It reads settings, asks database, broker and workers, and changes nothing.
    """
    from inngest_celery.cli.checks.examination import examine
    from inngest_celery.cli.checks.findings import Level

    findings = list(examine(app_of(target), timeout))
    _print(findings, as_json=as_json)
    if any(finding.level is Level.PROBLEM for finding in findings):
        click.get_current_context().exit(1)


def _print(findings: list[Finding], *, as_json: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from inngest_celery.cli.checks.findings import Level
    from inngest_celery.cli.output import console, print_json

    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
        return
    signs = {Level.PROBLEM: ("✗", "bold red"), Level.WARNING: ("!", "yellow"), Level.NOTE: ("i", "cyan")}
    out = console()
    for level in Level:
        for finding in findings:
            if finding.level is level:
                out.print(Text.assemble(signs[level], " ", (finding.code, "bold")))
                out.print(Padding(Text(f"{finding.text}\n{finding.advice}"), (0, 0, 1, 2), expand=False))
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    out.print(", ".join(f"{count} {level}{'s' if count != 1 else ''}" for level, count in counts.items()))
