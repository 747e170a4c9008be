"""Waiting for the end of a run, and the exit status that it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inngest_celery.cli.group import Failure
from inngest_celery.store.rows import RunStatus

if TYPE_CHECKING:
    from inngest_celery.worker.runs import RunInfo
    from inngest_celery.worker.runtime import Runtime


def wait(runtime: Runtime, run_id: str, timeout: float | None) -> RunInfo:
    """Wait until a run has ended; it may be named by its event.

    Raises:
        Failure: it has not ended in time (``run_not_ended``).
    """
    from inngest_celery.worker.runs import Runs

    try:
        return Runs(runtime.app).wait(run_id, timeout)
    except TimeoutError as error:
        raise Failure("run_not_ended", f"{error}. `runs wait` goes on waiting.") from error


def exit_for(status: RunStatus) -> None:
    """End with status 1 if a run has ended otherwise than well."""
    if status is not RunStatus.COMPLETED:
        click.get_current_context().exit(1)


def print_end(run: RunInfo, *, as_json: bool) -> None:
    """Print what has become of a run: its output alone, for programs to read; all else on standard error."""
    from inngest_celery.cli import output
    from inngest_celery.cli.shapes import info_shape

    if as_json:
        output.print_json(info_shape(run))
        return
    if run.status is RunStatus.COMPLETED:
        output.print_json(run.output)
        return
    said = run.output.get("message") if isinstance(run.output, dict) else None
    why = "; ".join(str(each) for each in (run.reason, said) if each)
    click.echo(f"{run.id} is {run.status.name.lower()}{f': {why}' if why else ''}", err=True)
