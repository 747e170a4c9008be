"""An app whose functions have limits, and whose step bodies write down when they begin and end.

``BROKER``, ``JOURNAL`` and ``INNGEST_DATABASE_URL`` say where, ``CONF`` (JSON) what else to
configure. While the file ``GATE`` is there, no body ends. The file
``STATEMENTS``, if there is one, has as many bytes as SQL statements were executed.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from celery import Celery
from sqlalchemy import event

import inngest_celery as inngest

STEPS = 2

app = Celery("limited", broker=os.environ["BROKER"])
app.conf.update(json.loads(os.environ.get("CONF", "{}")))
client = inngest.Inngest(app_id="limited", celery=app)
_JOURNAL = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
_GATE = Path(os.environ["GATE"])
_STATEMENTS = os.environ.get("STATEMENTS")


if _STATEMENTS is not None:
    _COUNT = os.open(_STATEMENTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @event.listens_for(sa.Engine, "before_cursor_execute")
    def count(*_: object) -> None:
        os.write(_COUNT, b".")


def work(function: str, ctx: inngest.ContextSync, step: str) -> str:
    key, seconds = ctx.event.data.get("key", "-"), ctx.event.data.get("seconds", 0)
    execution = f"{function} {key} {ctx.run_id} {step} {os.getpid()} {uuid.uuid4().hex}"
    note("begin", execution)
    if isinstance(seconds, int | float) and seconds:
        time.sleep(seconds)
    while _GATE.exists():
        time.sleep(0.01)
    note("end", execution)
    return "done"


def note(what: str, execution: str) -> None:
    # One write of a short line: no two processes' lines get mixed.
    os.write(_JOURNAL, f"{what} {execution} {time.time():.6f}\n".encode())


def define(fn_id: str, steps: int = STEPS, **options: Any) -> None:
    """Make a function that the event ``limited/<fn_id>`` starts; ``limited/stop`` cancels it for a key."""

    def function(ctx: inngest.ContextSync) -> str:
        for number in range(steps):
            step = f"step-{number}"
            ctx.step.run(step, partial(work, fn_id, ctx, step))
        return "done"

    cancel = inngest.Cancel(event="limited/stop", if_exp="async.data.key == event.data.key")
    trigger = inngest.TriggerEvent(event=f"limited/{fn_id}")
    client.create_function(fn_id=fn_id, trigger=trigger, cancel=[cancel], **options)(function)


define("free")
define("three", concurrency=[inngest.Concurrency(limit=3)])
define("one", steps=1, concurrency=[inngest.Concurrency(limit=1)])
define("keyed", concurrency=[inngest.Concurrency(limit=4), inngest.Concurrency(limit=1, key="event.data.key")])
define("paced", steps=1, throttle=inngest.Throttle(limit=20, period=timedelta(seconds=1), burst=5))
define("long", steps=20, concurrency=[inngest.Concurrency(limit=1)])
define("runs", concurrency=inngest.ConcurrencyLevels(fn=[inngest.Concurrency(limit=2)]))
define("slow", steps=1, throttle=inngest.Throttle(limit=8, period=timedelta(days=1), burst=2))
define("bulk", steps=1, concurrency=[inngest.Concurrency(limit=3)])
define("many", steps=1, concurrency=[inngest.Concurrency(limit=4), inngest.Concurrency(limit=1, key="event.data.key")])
define("fair", steps=1, concurrency=[inngest.Concurrency(limit=1), inngest.Concurrency(limit=1, key="event.data.key")])
define(
    "boosted",
    steps=1,
    concurrency=[inngest.Concurrency(limit=1)],
    priority=inngest.Priority(run="event.data.key == 'k1' ? 600 : 0"),
)
define("rated", steps=1, rate_limit=inngest.RateLimit(limit=20, period=timedelta(hours=1)))
_VENDOR = inngest.Concurrency(limit=1, key="'vendor'", scope="env")
define("left", steps=1, concurrency=[_VENDOR])
define("right", steps=1, concurrency=[_VENDOR])


@client.create_function(
    fn_id="sleeper",
    trigger=inngest.TriggerEvent(event="limited/sleeper"),
    concurrency=[inngest.Concurrency(limit=1)],
)
def sleeper(ctx: inngest.ContextSync) -> str:
    ctx.step.run("before", partial(work, "sleeper", ctx, "before"))
    ctx.step.sleep("an hour", timedelta(hours=1))
    return "done"
