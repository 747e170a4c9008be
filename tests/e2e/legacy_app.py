"""An old project in which functions have taken over two tasks, and a third one is still as it was."""

from __future__ import annotations

import os
import time

from celery import Celery

import inngest_celery as inngest

app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["BACKEND"])
app.conf.inngest_database_url = os.environ["DATABASE"]
app.conf.inngest_hint_timeout = 2
app.conf.inngest_sweep_interval = 0.2
app.conf.task_routes = {"proj.tasks.onboard": {"queue": "old"}}
app.conf.result_backend_transport_options = {"global_keyprefix": "results"} if "redis" in os.environ["BACKEND"] else {}

client = inngest.Inngest(app_id="proj", celery=app)


@app.task(name="proj.tasks.double", shared=False)  # type: ignore[untyped-decorator]
def double(number: int) -> int:
    return number * 2


@app.task(name="proj.tasks.total", shared=False)  # type: ignore[untyped-decorator]
def total(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(name="proj.tasks.nap", shared=False)  # type: ignore[untyped-decorator]
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@client.create_function(
    fn_id="onboard",
    trigger=inngest.TriggerEvent(event="proj/signup"),
    replaces=inngest.Legacy("proj.tasks.onboard", parameters=("user_id", "plan")),
    retries=0,
)
def onboard(ctx: inngest.ContextSync) -> list[object]:
    data = ctx.event.data
    ctx.step.sleep("a moment", 20)
    return ctx.step.run("load", lambda: [data["user_id"], data.get("plan")])


@client.create_function(
    fn_id="sum-up",
    trigger=inngest.TriggerEvent(event="proj/sum"),
    replaces=["proj.tasks.sum_up", inngest.Legacy("proj.old.sum_up", data=lambda *numbers: {"numbers": list(numbers)})],
    retries=0,
)
def sum_up(ctx: inngest.ContextSync) -> int:
    """Add numbers, and one: given as a list or one by one."""
    numbers = ctx.event.data["numbers"]
    flat = [item for number in numbers for item in (number if isinstance(number, list) else [number])]
    ctx.step.sleep("a moment", 20)
    return ctx.step.run("add", lambda: sum(flat) + 1)


@client.create_function(
    fn_id="linger", trigger=inngest.TriggerEvent(event="proj/linger"), replaces="proj.tasks.linger", retries=0
)
def linger(ctx: inngest.ContextSync) -> str:
    ctx.step.sleep("long", 3_600_000)
    return "done"
