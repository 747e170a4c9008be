"""The command line: ``inngest-celery …``, and the same as ``celery -A proj inngest …``.

Every run of the ``celery`` program imports this module, so it imports Click alone; a command is loaded when it is used.
"""

from __future__ import annotations

import click

from inngest_celery.cli.group import Commands, Target

COMMANDS = {
    "apps": "inngest_celery.cli.apps:apps",
    "audit": "inngest_celery.cli.audit:audit",
    "cancel": "inngest_celery.cli.bulk:cancel",
    "cutover": "inngest_celery.cli.cutover:cutover",
    "dev": "inngest_celery.cli.dev:dev",
    "doctor": "inngest_celery.cli.doctor:doctor",
    "encryption": "inngest_celery.cli.encryption:encryption",
    "erase": "inngest_celery.cli.erase:erase",
    "events": "inngest_celery.cli.events:events",
    "export": "inngest_celery.cli.export:export",
    "functions": "inngest_celery.cli.functions:functions",
    "hold": "inngest_celery.cli.hold:hold",
    "invoke": "inngest_celery.cli.invoke:invoke",
    "keys": "inngest_celery.cli.keys:keys",
    "limits": "inngest_celery.cli.limits:limits",
    "migrate": "inngest_celery.cli.migrate:migrate",
    "partition": "inngest_celery.cli.partition:partition",
    "receipt": "inngest_celery.cli.receipt:receipt",
    "replay": "inngest_celery.cli.bulk:replay",
    "retention": "inngest_celery.cli.retention:retention",
    "runs": "inngest_celery.cli.runs:runs",
    "send": "inngest_celery.cli.send:send",
    "start": "inngest_celery.cli.start:start",
    "subjects": "inngest_celery.cli.subjects:subjects",
    "tokens": "inngest_celery.cli.tokens:tokens",
    "users": "inngest_celery.cli.users:users",
    "why": "inngest_celery.cli.why:why",
    "worker": "inngest_celery.cli.worker:worker",
}
_EXIT = """\b
Exit status:
  0  done
  1  done, and the answer is no: a check found something (doctor, migrate --check, audit verify),
     a run did not complete (invoke --wait, runs wait, runs watch), some runs
     cannot be repeated (replay) or are held (erase); or you were asked, and said no
  2  wrong usage, input or settings
  3  there is no such run, event, function, app, limit, cutover, hold, erasure, subject,
     user, token or key, or its state does not allow it
  4  the database or the broker cannot be used
  5  it has not ended in time, and goes on
Errors end with a stable code in parentheses."""
_COMPLETION = """\b
Completion in bash (zsh and fish alike):
  eval "$(_INNGEST_CELERY_COMPLETE=bash_source inngest-celery)"
"""


@click.group("inngest-celery", cls=Commands, lazy=COMMANDS, epilog=f"{_EXIT}\n\n{_COMPLETION}")
@click.option(
    "-A",
    "--app",
    envvar="CELERY_APP",
    metavar="MODULE[:APP]",
    help="The Celery app, as for celery itself. [CELERY_APP]",
)
@click.version_option(package_name="inngest-celery")
@click.pass_context
def main(context: click.Context, app: str | None) -> None:
    """Durable functions on Celery: look after their runs, tables and workers."""
    context.obj = Target(app)


@click.group("inngest", cls=Commands, lazy=COMMANDS, epilog=_EXIT)
def inngest() -> None:
    """Durable functions: look after their runs, tables and workers."""
