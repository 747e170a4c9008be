"""``runs report``: one run as a report, as JSON or Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from inngest_celery.cli.group import HasApp, runtime_for

_SHOWN = 2_000


@click.command()
@click.argument("run_id")
@click.option("--json", "form", flag_value="json", help="For programs, with everything in full.")
@click.option("--markdown", "form", flag_value="markdown", default="markdown", help="For people; the usual form.")
@click.pass_obj
def report(target: HasApp, run_id: str, form: str) -> None:
    """Report on a run: which models answered what, what was decided, who approved, what failed, and who did what.

    It ends with a hash of all that it says. What models were asked is not stored, and so not in it.
    """
    from inngest_celery.cli.output import print_json
    from inngest_celery.worker import run_report

    with runtime_for(target) as runtime:
        made = run_report.report(runtime, run_id)
    if form == "json":
        print_json(made)
    else:
        click.echo("\n".join(as_markdown(made)))


def as_markdown(made: dict[str, Any]) -> Iterator[str]:
    """Write a report as Markdown, a line at a time; long values are cut."""
    run = made["run"]
    yield f"# Run {run['id']}"
    yield ""
    yield from (f"- {name}: {_code(run[name])}" for name in run if run[name] is not None)
    if made["cost"] is not None:
        yield f"- cost: {made['cost']:g}"
    yield from _section("Models", made["models"], ("step", "model", "usage", "cost", "answered_at", "answer"))
    yield from _section("Decisions", made["decisions"], ("order", "step", "op", "attempts", "ended_at", "result"))
    yield from _section(
        "Approvals",
        made["approvals"],
        ("step", "asked_for", "if", "asked_at", "until", "outcome", "ended_at", "answer"),
    )
    yield from _section("Errors and retries", made["errors"], ("step", "attempt", "ended_at", "retried_at", "error"))
    yield from _section("Who did what", made["audit"], ("at", "actor", "kind", "action", "outcome", "id"))
    yield ""
    yield f"Made at {made['made_at']}. SHA-256 of the JSON form without `digest` (RFC 8785): `{made['digest']}`"


def _section(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    if not rows:
        yield "None."
        return
    yield f"| {' | '.join(name.replace('_', ' ') for name in columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_code(row[name]) for name in columns)} |"


def _code(value: object) -> str:
    """Write a value so that nothing in it is Markdown: whoever sent an event may have written it."""
    from inngest_celery.cli.output import json_text

    if value is None:
        return ""
    text = value if isinstance(value, str) else json_text(value)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
    cleaned = " ".join(text.replace("`", "'").replace("|", "¦").split())
    return f"`{cleaned}`" if cleaned else ""
