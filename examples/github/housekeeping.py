"""The audit log of everything that happens, and a digest every morning."""

from __future__ import annotations

import inngest_celery as inngest
from examples.github.api import GitHub, note
from examples.github.app import client


@client.create_function(fn_id="audit", trigger=inngest.TriggerEvent(event="github/*"))
def audit(ctx: inngest.ContextSync) -> None:
    ctx.step.run("append", note, ctx.run_id, ctx.event.name)


@client.create_function(fn_id="digest", trigger=inngest.TriggerCron(cron="0 9 * * *"))
async def digest(ctx: inngest.Context) -> str:
    github = GitHub(ctx.run_id)
    pulls = await ctx.step.run("open pull requests", github.get, "/search/pulls")
    issues = await ctx.step.run("open issues", github.get, "/search/issues")
    return await ctx.step.run("publish", github.post, "/discussions", {"pulls": pulls, "issues": issues})
