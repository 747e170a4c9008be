"""An app whose pool processes stand at a gate as soon as they are forked, before Celery has done anything in them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

import inngest_celery as inngest

app = Celery("slow", broker=os.environ["BROKER"])
# Until then Celery lets a process start; its own four seconds are not for a busy machine.
app.conf.worker_proc_alive_timeout = 60
client = inngest.Inngest(app_id="slow", celery=app)

_GATE = Path(os.environ["GATE"])


def wait_at_gate() -> None:
    while _GATE.exists():
        time.sleep(0.01)


@client.create_function(fn_id="some", trigger=inngest.TriggerEvent(event="slow/some"))
def some(ctx: inngest.ContextSync) -> None:
    """A worker is ours when it has a function."""


os.register_at_fork(after_in_child=wait_at_gate)
