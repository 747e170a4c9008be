"""Old Celery tasks beside durable functions, with a result backend."""

from __future__ import annotations

import os

from celery import Celery, current_task

import inngest_celery as inngest

app = Celery("canvas", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.inngest_database_url = os.environ["DATABASE"]
app.conf.inngest_hint_timeout = 2
app.conf.inngest_sweep_interval = 0.2

client = inngest.Inngest(app_id="canvas", celery=app)


@app.task(name="double")  # type: ignore[untyped-decorator]
def double(number: int) -> int:
    return number * 2


@app.task(name="total")  # type: ignore[untyped-decorator]
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(name="echo")  # type: ignore[untyped-decorator]
def echo(numbers: list[int]) -> list[int]:
    return numbers


@client.create_function(fn_id="add-one", trigger=inngest.TriggerEvent(event="canvas/add"), retries=0)
def add_one(ctx: inngest.ContextSync) -> int:
    number = ctx.event.data["args"][0] if "args" in ctx.event.data else ctx.event.data["number"]
    ctx.step.sleep("a moment", 20)
    return ctx.step.run("add", lambda: number + 1)


@client.create_function(fn_id="fail", trigger=inngest.TriggerEvent(event="canvas/fail"), retries=0)
def fail(ctx: inngest.ContextSync) -> None:
    ctx.step.run("fail", lambda: 1 / 0)


@client.create_function(
    fn_id="alone", trigger=inngest.TriggerEvent(event="canvas/alone"), singleton=inngest.Singleton(mode="skip")
)
def alone(ctx: inngest.ContextSync) -> str:
    ctx.step.wait_for_event("end", event="canvas/end", timeout=60_000)
    return "done"


@client.create_function(
    fn_id="told",
    trigger=inngest.TriggerEvent(event="canvas/told"),
    celery_options={"priority": 1, "ignore_result": True},
)
def told(ctx: inngest.ContextSync) -> list[list[object]]:
    """Give the headers and priority of the messages of its steps."""

    def look() -> list[object]:
        request = current_task.request
        return [request.headers.get("tenant"), request.delivery_info["priority"]]

    first = ctx.step.run("first", look)
    ctx.step.sleep("a moment", 20)
    return [first, ctx.step.run("second", look)]
