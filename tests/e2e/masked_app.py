"""Functions of every kind whose payloads nobody is to see. ``BROKER`` and ``INNGEST_DATABASE_URL`` say where."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from celery import Celery

import inngest_celery as inngest

app = Celery("masked", broker=os.environ["BROKER"])
client = inngest.Inngest(app_id="masked", celery=app)
SECOND = timedelta(seconds=1)
KEYED = "event.data.code"
# No rule knows it.
WORD = "un" + "spoken"


def on(name: str) -> inngest.TriggerEvent:
    return inngest.TriggerEvent(event=f"masked/{name}")


@client.create_function(
    fn_id="steps", trigger=on("go"), retries=1, concurrency=[inngest.Concurrency(limit=5, key=KEYED)]
)
def steps(ctx: inngest.ContextSync) -> Any:
    more = ctx.event.data.get("more")
    made = ctx.step.run("make", lambda: {"token": ctx.event.data["token"], "to": ctx.event.data["mail"], "more": more})
    word = ctx.step.run("seal", lambda: inngest.Secret(WORD))
    ctx.step.sleep("a while", timedelta(seconds=0.3))
    # Another process may have sealed it.
    ctx.step.run("open", lambda: len(word.get_secret_value()) == len(WORD) or fail({"token": word, "to": word}))
    ctx.group.parallel((lambda: ctx.step.run("one", lambda: made), lambda: ctx.step.run("two", lambda: made)))
    called = ctx.step.invoke("call", function=callee, data=dict(ctx.event.data))
    ctx.step.send_event("tell", inngest.Event(name="masked/told", data=dict(ctx.event.data)))
    ctx.step.wait_for_event("wait", event="masked/told", if_exp=f"async.data.code == {KEYED}", timeout=SECOND)
    try:
        ctx.step.run("break", lambda: fail({**made, "word": word, "more": [made["more"], word]}))
    except inngest.StepError as error:
        return {"called": called, "why": str(error), **made}


def fail(made: Any) -> None:
    raise ValueError(f"it was {made['token']} to {made['to']}, and {made.get('more')}")


@client.create_function(fn_id="callee", trigger=on("never"))
async def callee(ctx: inngest.Context) -> Any:
    return dict(ctx.event.data)


@client.create_function(fn_id="batch", trigger=on("go"), batch_events=inngest.Batch(max_size=2, timeout=SECOND))
def batch(ctx: inngest.ContextSync) -> Any:
    return [[event.data["token"], event.data.get("more")] for event in ctx.events]


@client.create_function(fn_id="debounced", trigger=on("go"), debounce=inngest.Debounce(period=SECOND, key=KEYED))
def debounced(ctx: inngest.ContextSync) -> Any:
    return [ctx.event.data["token"], ctx.event.data.get("more")]


@client.create_function(
    fn_id="paced", trigger=on("go"), retries=0, throttle=inngest.Throttle(limit=10, period=SECOND, key=KEYED)
)
def paced(ctx: inngest.ContextSync) -> Any:
    fail(dict(ctx.event.data, to=ctx.event.data["mail"]))
