"""``invoke``: call one function, and wait for what it returns."""

from __future__ import annotations

import click

from inngest_celery.cli.access import recorded
from inngest_celery.cli.completion import FunctionId
from inngest_celery.cli.group import HasApp, runtime_for
from inngest_celery.cli.inputs import read_object


@click.command()
@click.argument("function_id", type=FunctionId())
@click.option("-d", "--data", default="{}", metavar="JSON|@FILE|-", help="Its event's data; - reads standard input.")
@click.option("--wait", "waits", is_flag=True, help="Wait for the end, and print the output alone.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer than this.")
@click.option("--json", "as_json", is_flag=True, help="With --wait: print the whole run.")
@click.pass_obj
def invoke(target: HasApp, function_id: str, data: str, waits: bool, timeout: float | None, as_json: bool) -> None:
    """Call a function, whatever triggers it, and print the id of its run.

    With --wait the output is printed on standard output and the id on standard error; the exit status is 1 if the run
    did not complete, and 5 if it did not end in time.

    \b
    Example:
      inngest-celery -A proj invoke shop-onboard --data '{"email": "ada@example.com"}' --wait --timeout 60
    """
    from inngest_celery.cli import waiting
    from inngest_celery.worker import invoking
    from inngest_celery.worker.runs import seen

    given = read_object(data, "--data")
    with runtime_for(target) as runtime:
        with recorded(runtime, "function.invoke", function_id) as entry:
            called = invoking.invoke(runtime, function_id, given)
            entry.tell(event_id=called.event_id)
        click.echo(called.run_id, err=waits)
        if not waits:
            return
        # By its event: there is no run yet, and with a debounce it is another call's.
        run = seen(runtime.eyes, waiting.wait(runtime, called.event_id, timeout))
    waiting.print_end(run, as_json=as_json)
    waiting.exit_for(run.status)
