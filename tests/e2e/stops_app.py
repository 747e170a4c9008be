"""Steps that have to be stopped: by their time limits, with their process, or with their worker."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

import inngest_celery as inngest

app = Celery("stops", broker=os.environ["BROKER"])
app.conf.worker_soft_shutdown_timeout = float(os.environ.get("SOFT_SHUTDOWN", "0"))
client = inngest.Inngest(app_id="stops", celery=app)

_JOURNAL = Path(os.environ["JOURNAL"])
_GATE = Path(os.environ["GATE"])


def note(line: str) -> int:
    """Write a line down, and give how often it stands there now."""
    with _JOURNAL.open("a") as file:
        file.write(line + "\n")
    return _JOURNAL.read_text().splitlines().count(line)


def get_stuck(how: str) -> None:
    if how == "sleep":
        time.sleep(600)
    elif how == "loop":
        while True:
            try:
                time.sleep(0) if _GATE.name == "never" else None
            except SoftTimeLimitExceeded:
                continue
    elif how == "c":
        # Other than CDLL, this keeps the interpreter's lock: no thread of the process runs, the leases' neither.
        ctypes.PyDLL(None).sleep(600)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        raise ValueError(how)


@client.create_function(
    fn_id="stuck",
    trigger=inngest.TriggerEvent(event="stops/stuck"),
    concurrency=[inngest.Concurrency(limit=1, key="event.data.how")],
    retries=1,
)
def stuck(ctx: inngest.ContextSync) -> list[str]:
    how = ctx.event.data["how"]

    def body() -> str:
        if note(f"{how} {ctx.event.data.get('first')}") == 1 and ctx.event.data.get("first"):
            get_stuck(how)
        return how

    before = ctx.step.run("before", lambda: "before")
    return [before, ctx.step.run("body", body, time_limit=None if how == "kill" else 2), ctx.step.run("after", str)]


def told(ctx: inngest.ContextSync) -> None:
    note(f"failed: {ctx.event.data['error']['code']}")


@client.create_function(fn_id="last", trigger=inngest.TriggerEvent(event="stops/last"), retries=0, on_failure=told)
def last(ctx: inngest.ContextSync) -> str:
    try:
        ctx.step.run("body", get_stuck, "sleep", time_limit=1)
    except inngest.StepError as error:
        note(f"caught: {error.code}")
        if ctx.event.data.get("catch"):
            return ctx.step.run("instead", lambda: "went on")
        raise
    return "never"


def interrupted(seconds: float) -> str:
    try:
        time.sleep(seconds)
    except SoftTimeLimitExceeded:
        note("interrupted")
        raise
    return "slept"


@client.create_function(fn_id="soft", trigger=inngest.TriggerEvent(event="stops/soft"), retries=0)
def soft(ctx: inngest.ContextSync) -> str:
    return ctx.step.run("body", interrupted, ctx.event.data["seconds"], soft_time_limit=0.3)


@client.create_function(fn_id="soft-async", trigger=inngest.TriggerEvent(event="stops/soft-async"), retries=0)
async def soft_async(ctx: inngest.Context) -> str:
    async def body() -> str:
        try:
            await asyncio.sleep(600)
        finally:
            note("cancelled")
        return "never"

    return await ctx.step.run("body", body, soft_time_limit=0.3)


@client.create_function(
    fn_id="each", trigger=inngest.TriggerEvent(event="stops/each"), retries=0, celery_options={"time_limit": 1}
)
def each(ctx: inngest.ContextSync) -> str:
    """Longer than its time limit, but no step is."""
    for number in range(4):
        ctx.step.run(f"nap {number}", time.sleep, 0.4)
    return "done"


@client.create_function(fn_id="rest", trigger=inngest.TriggerEvent(event="stops/rest"), retries=0)
def rest(ctx: inngest.ContextSync) -> list[Any]:
    """For workers that are asked to stop: in a body, between steps, asleep."""

    def wait_at_gate() -> str:
        note(f"in body {ctx.run_id}")
        while _GATE.exists():
            time.sleep(0.01)
        return "through"

    first = ctx.step.run("first", lambda: note(f"first {ctx.run_id}"))
    if ctx.event.data.get("asleep"):
        ctx.step.sleep("a while", 2_000)
    gate = ctx.step.run("gate", wait_at_gate) if ctx.event.data.get("gate") else ""
    return [first, gate, ctx.step.run("last", lambda: note(f"last {ctx.run_id}"))]
