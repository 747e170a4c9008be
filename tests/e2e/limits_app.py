"""Functions with Celery options of their own: a queue and time limits."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

import inngest_celery as inngest

app = Celery("limits", broker=os.environ["BROKER"])
app.conf.update(
    inngest_database_url=os.environ["DATABASE"],
    inngest_lease=1,
    inngest_hint_timeout=1,
    inngest_sweep_interval=0.1,
    inngest_retry_interval=0.1,
)
client = inngest.Inngest(app_id="limits", celery=app)
journal = Path(os.environ.get("JOURNAL", os.devnull))


def note(line: str) -> int:
    with journal.open("a") as file:
        file.write(line + "\n")
    return journal.read_text().count(line) if journal.is_file() else 0


@client.create_function(
    fn_id="slow", trigger=inngest.TriggerEvent(event="limits/slow"), retries=1, celery_options={"soft_time_limit": 0.5}
)
def slow(ctx: inngest.ContextSync) -> str:
    def body() -> str:
        if note("slow") == 1:
            time.sleep(30)
        return "quick this time"

    return ctx.step.run("body", body)


@client.create_function(
    fn_id="stuck", trigger=inngest.TriggerEvent(event="limits/stuck"), retries=1, celery_options={"time_limit": 1}
)
async def stuck(ctx: inngest.Context) -> str:
    def body() -> str:
        if note("stuck") == 1:
            while True:  # as code that no soft limit can interrupt
                try:
                    time.sleep(30)
                except SoftTimeLimitExceeded:
                    continue
        return "a new process did it"

    return await ctx.step.run("body", body)


@client.create_function(
    fn_id="mail", trigger=inngest.TriggerEvent(event="limits/mail"), celery_options={"queue": "mail"}
)
async def mail(ctx: inngest.Context) -> str:
    await ctx.step.run("first", lambda: 1)
    return await ctx.step.run("second", lambda: os.environ["WORKER"])
