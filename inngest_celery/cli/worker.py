"""``worker``: Celery's own, for all the queues that the functions use."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from inngest_celery.cli import stack as stacks
from inngest_celery.cli.group import Target, join_dev_stack

if TYPE_CHECKING:
    from celery import Celery

_QUEUES = ("-Q", "--queues")
_POOLS = ("-P", "--pool")


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("options", metavar="[CELERY WORKER OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def worker(context: click.Context, options: tuple[str, ...]) -> None:
    """Run a worker: celery worker with the options that are given, for all queues that the functions use.

    Without -A it is the app that calls apps on the official SDKs, with threads instead of processes: they wait for
    answers. -Q leaves queues to other workers. What would keep runs from going on is said first. Else
    `celery -A proj worker` does the same. See `celery worker --help` for the options.

    \b
    Example:
      inngest-celery -A proj worker --concurrency 8 --loglevel INFO
    """
    given = context.find_root().params.get("app")
    name = given if isinstance(given, str) and given else stacks.BUILT_IN
    app = Target(name).app
    join_dev_stack(app)
    app.loader.import_default_modules()
    _advise(app)
    command = command_line(name, app, options)
    click.echo(f"Runs: {' '.join(command[2:])}", err=True)
    sys.stdout.flush()
    os.execv(command[0], command)


def _advise(app: Celery) -> None:
    """Say what doctor would say now, as far as it keeps runs from going on. The worker starts in any case."""
    from inngest_celery.cli.checks.examination import BEFORE_START, examine
    from inngest_celery.cli.checks.findings import Level

    for finding in examine(app, None, BEFORE_START):
        if finding.level is not Level.NOTE:
            click.echo(f"{finding.code}: {finding.text} {finding.advice}", err=True)


def command_line(name: str, app: Celery, options: Sequence[str]) -> list[str]:
    """Give the command of a worker.

    Args:
        name: of the app, as ``-A`` takes it.
        options: those that were given; they count more than ours.
    """
    ours: list[str] = []
    if not _given(options, _QUEUES):
        ours += ["-Q", ",".join(stacks.queues_of(app))]
    if name == stacks.BUILT_IN and not _given(options, _POOLS):
        ours += ["-P", "threads"]
    return [sys.executable, "-m", "celery", "-A", name, "worker", *ours, *options]


def _given(options: Sequence[str], names: tuple[str, str]) -> bool:
    short, long = names
    return any(
        option.startswith(short) if not option.startswith("--") else option.partition("=")[0] == long
        for option in options
    )
