"""``send``: store one event and have it routed."""

from __future__ import annotations

import click

from inngest_celery.cli.access import recorded, sender
from inngest_celery.cli.group import HasApp, runtime_for
from inngest_celery.cli.inputs import read_object


@click.command()
@click.argument("name")
@click.option("-d", "--data", default="{}", metavar="JSON|@FILE|-", help="The event's data; - reads standard input.")
@click.option("--id", "event_id", default="", help="The event's own id: the same one again starts no run for 24 hours.")
@click.option("--ts", type=int, default=0, help="When it happened, in milliseconds since 1970. In the future: a delay.")
@click.pass_obj
def send(target: HasApp, name: str, data: str, event_id: str, ts: int) -> None:
    """Send an event, and print the id that it is stored under.

    \b
    Example:
      inngest-celery -A proj send user/signup --data '{"email": "ada@example.com"}'
    """
    from inngest_celery.sdk.event import Event
    from inngest_celery.sdk.sending import check_events
    from inngest_celery.worker.outbox import outbox

    event = Event(name=name, data=read_object(data, "--data"), id=event_id, ts=ts)
    check_events([event])
    with runtime_for(target) as runtime, recorded(runtime, "event.send", name) as entry:
        [stored_id] = outbox(runtime.app).send([event], by=sender())
        entry.tell(event_id=stored_id)
    click.echo(stored_id)
