"""Pull requests: ask for a review, wait three days for it, and remind if none came."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import inngest_celery as inngest
from examples.github.api import GitHub
from examples.github.app import client

_SAME_PULL = (
    "event.data.repository.full_name == async.data.repository.full_name"
    " && event.data.pull_request.number == async.data.pull_request.number"
)


@client.create_function(
    fn_id="review-pull-request",
    trigger=[
        inngest.TriggerEvent(event="github/pull_request.opened"),
        inngest.TriggerEvent(event="github/pull_request.ready_for_review"),
        inngest.TriggerEvent(event="github/pull_request.reopened"),
    ],
    cancel=[inngest.Cancel(event="github/pull_request.closed", if_exp=_SAME_PULL)],
)
async def review_pull_request(ctx: inngest.Context) -> str:
    github = GitHub(ctx.run_id)
    data: Any = ctx.event.data
    pull = f"/repos/{data['repository']['full_name']}/pulls/{data['pull_request']['number']}"

    owners = await ctx.step.run("find owners", github.get, f"{pull}/files")
    await ctx.step.run("ask for review", github.post, f"{pull}/requested_reviewers", owners)
    review = await ctx.step.wait_for_event(
        "review", event="github/pull_request_review.submitted", if_exp=_SAME_PULL, timeout=timedelta(days=3)
    )
    if review is not None:
        await ctx.step.run("thank", github.post, f"{pull}/comments", {"body": "Thanks for the review!"})
        return "reviewed"

    await ctx.step.run("remind", github.post, f"{pull}/comments", {"body": "Three days without a review."})
    await ctx.step.sleep("a day of grace", timedelta(days=1))
    await ctx.step.run("mark as stale", github.post, f"{pull}/labels", {"labels": ["stale"]})
    return "stale"
