"""``runs report``: one run as a report, as JSON or Markdown."""

from __future__ import annotations

from contextlib import nullcontext

import click

from inngest_celery.cli.access import recorded
from inngest_celery.cli.export import UNMASKED
from inngest_celery.cli.group import HasApp, runtime_for


@click.command()
@click.argument("run_id")
@click.option("--json", "form", flag_value="json", help="For programs, with everything in full.")
@click.option("--markdown", "form", flag_value="markdown", default="markdown", help="For people; the usual form.")
@UNMASKED
@click.pass_obj
def report(target: HasApp, run_id: str, form: str, unmasked: bool) -> None:
    """Report on a run: which models answered what, what was decided, who approved, what failed, and who did what.

    It ends with a hash of all that it says, and shows of payloads what viewers see. What a model was asked is in it,
    unless code of a step has asked it by itself.
    """
    from inngest_celery.cli.output import print_json
    from inngest_celery.engine.viewing import AS_STORED
    from inngest_celery.worker import report_text, run_report

    with runtime_for(target) as runtime:
        noted = recorded(runtime, "export.unmasked", run_id) if unmasked else nullcontext()
        with noted:
            made = run_report.report(runtime, run_id, AS_STORED if unmasked else None)
    if form == "json":
        print_json(made)
    else:
        click.echo("\n".join(report_text.as_markdown(made)))
