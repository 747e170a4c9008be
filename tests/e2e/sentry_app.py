"""Functions in workers that Sentry watches, whose envelopes are written down instead of sent."""

from __future__ import annotations

import json
import os
from pathlib import Path

import sentry_sdk
from celery import Celery
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

import inngest_celery as inngest


class Notes(Transport):
    """Writes down what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event() or envelope.get_transaction_event()
        if event is not None:
            with Path(os.environ["JOURNAL"]).open("a") as journal:
                journal.write(json.dumps(event, default=str) + "\n")


sentry_sdk.init(
    dsn="http://key@127.0.0.1/1", transport=Notes, integrations=[CeleryIntegration()], traces_sample_rate=1.0
)
app = Celery("watched", broker=os.environ["BROKER"])
client = inngest.Inngest(app_id="watched", celery=app)


def charge() -> None:
    raise LookupError("no such customer")


@client.create_function(fn_id="order", trigger=inngest.TriggerEvent(event="watched/order"), retries=0)
def order(ctx: inngest.ContextSync) -> str:
    ctx.step.run("reserve", lambda: "reserved")
    try:
        ctx.step.run("charge", charge)
    except inngest.StepError as error:
        return error.name
    return "paid"


@app.task(name="watched.plain")  # type: ignore[untyped-decorator]
def plain() -> None:
    raise ValueError("plain")
