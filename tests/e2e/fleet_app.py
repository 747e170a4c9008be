"""Durable functions beside an old fleet, whose tasks they know by name."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from celery import Celery, chain, chord, group

import inngest_celery as inngest

app = Celery("fleet", broker=os.environ["BROKER"], backend=os.environ.get("BACKEND"))
app.conf.task_routes = {"old.*": {"queue": "old"}}
client = inngest.Inngest(app_id="fleet", celery=app)


@app.task(name="own.fail")  # type: ignore[untyped-decorator]
def own_fail() -> None:
    """A task of workers that know us: they could call our callbacks in place."""
    raise LookupError("no such customer")


def old(name: str, *args: object, **options: object) -> Any:
    return app.signature(f"old.{name}", args=args, **options)


def signature(name: str) -> Any:
    """Give what an event asks for."""
    double = app.signature("old.double")
    return {
        "chain": lambda: chain(old("double", 1), double, double),
        "chain-fails": lambda: chain(old("double", 1), old("fail"), double),
        "chord": lambda: chord([old("double", 1), old("double", 2)], old("total")),
        "chord-fails": lambda: chord([old("double", 1), old("fail")], old("total")),
        "double": lambda: old("double", 21),
        "endless": lambda: old("endless"),
        "fail": lambda: old("fail"),
        "flaky": lambda: old("flaky"),
        "gated": lambda: old("gated"),
        "group": lambda: group(old("double", number) for number in range(3)),
        "group-fails": lambda: group(old("double", 1), old("fail")),
        "ignored": lambda: old("ignored", 4),
        "mixed": lambda: chain(old("double", 1), group(double, double), old("total"), double),
        "own-fails": lambda: own_fail.s(),
        "pickled": lambda: old("pickled"),
        "replaced": lambda: old("replaced", 5),
        "tail": lambda: chain(old("double", 1), group(double, double)),
    }[name]()


@client.create_function(fn_id="ask", trigger=inngest.TriggerEvent(event="fleet/ask"), retries=0)
async def ask(ctx: inngest.Context) -> Any:
    data = ctx.event.data
    try:
        given = await ctx.step.celery(
            "old", signature(str(data["what"])), timeout=timedelta(seconds=float(str(data.get("timeout", 86_400))))
        )
    except inngest.StepError as error:
        return [error.name, error.message]
    return given
