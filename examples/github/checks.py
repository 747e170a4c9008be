"""Continuous integration: look at all parts of a finished check side by side, judge, report."""

from __future__ import annotations

import asyncio
from typing import Any

import inngest_celery as inngest
from examples.github.api import GitHub, note
from examples.github.app import client

_SHARDS = 3


@client.create_function(fn_id="judge", trigger=inngest.TriggerEvent(event="ci/judge"))
def judge(ctx: inngest.ContextSync) -> str:
    """Not async: it runs in the worker's own thread, as a Celery task does."""
    data: Any = ctx.event.data
    counts: list[int] = data["counts"]

    def average() -> float:
        note(ctx.run_id, "average")
        return sum(counts) / len(counts)

    return "green" if ctx.step.run("average", average) < 160 else "red"


@client.create_function(
    fn_id="watch-ci",
    trigger=[
        inngest.TriggerEvent(event="github/check_run.completed"),
        inngest.TriggerEvent(event="github/check_suite.completed"),
        inngest.TriggerEvent(event="github/workflow_run.*", expression="event.data.action == 'completed'"),
    ],
)
async def watch_ci(ctx: inngest.Context) -> str:
    github = GitHub(ctx.run_id)
    data: Any = ctx.event.data
    repository = f"/repos/{data['repository']['full_name']}"

    async def shard(number: int) -> int:
        log = await ctx.step.run(f"log of shard {number}", github.get, f"{repository}/logs/{number}")
        found = await ctx.step.run(f"annotations of shard {number}", github.get, f"{log['path']}/annotations")
        return int(found["count"])

    # Fan out in the official way …
    coverage, lint = await ctx.group.parallel(
        (
            lambda: ctx.step.run("coverage", github.get, f"{repository}/coverage"),
            lambda: ctx.step.run("lint", github.get, f"{repository}/lint"),
        )
    )
    # … or with what Python has. Either way each step runs once, on whichever worker is free, and the last one joins.
    shards = await asyncio.gather(*(shard(number) for number in range(_SHARDS)))
    counts = [coverage["count"], lint["count"], *shards]
    verdict = await ctx.step.invoke("judge", function=judge, data={"counts": counts})
    await ctx.step.run("report", github.post, f"{repository}/statuses", {"state": verdict})
    return verdict
