"""People: triage their issues, thank them for their stars, follow their deployments."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import inngest_celery as inngest
from examples.github.api import GitHub, note
from examples.github.app import client

_LABELS = {"bug": ("error", "fail", "broken"), "docs": ("readme", "spelling", "docs"), "question": ("?", "how")}

_SUCCESS = "async.data.deployment.id == event.data.deployment.id && async.data.deployment_status.state == 'success'"


@client.create_function(
    fn_id="triage-issue",
    trigger=[
        inngest.TriggerEvent(event="github/issues.opened"),
        inngest.TriggerEvent(event="github/issue_comment.created"),
        inngest.TriggerEvent(event="github/discussion.created"),
    ],
)
def triage_issue(ctx: inngest.ContextSync) -> list[str]:
    """Not async, and parallel all the same: one step for each label."""
    data: Any = ctx.event.data
    subject = data.get("issue") or data["discussion"]
    text = f"{subject['title']} {subject['body']}".lower()

    def fits(label: str) -> bool:
        note(ctx.run_id, f"fits {label}")
        return any(word in text for word in _LABELS[label])

    found = ctx.group.parallel(
        tuple(functools.partial(ctx.step.run, f"is it {label}?", fits, label) for label in _LABELS)
    )
    ctx.step.sleep("let the author edit", timedelta(minutes=10))
    return [label for label, fit in zip(_LABELS, found, strict=True) if fit]


@client.create_function(
    fn_id="thank-supporter",
    trigger=[
        inngest.TriggerEvent(event="github/star.created"),
        inngest.TriggerEvent(event="github/fork"),
        inngest.TriggerEvent(event="github/sponsorship.created"),
    ],
)
async def thank_supporter(ctx: inngest.Context) -> str:
    """Three things that deserve the same thanks, and triggers for each."""
    data: Any = ctx.event.data
    await ctx.step.sleep("not at once", timedelta(hours=1))
    profile = await ctx.step.run("profile", GitHub(ctx.run_id).get, f"/users/{data['sender']['login']}")
    return f"Thank you, {profile['path'].rpartition('/')[2]}!"


@client.create_function(
    fn_id="follow-deployment",
    trigger=inngest.TriggerEvent(event="github/deployment.created"),
    timeouts=inngest.Timeouts(finish=timedelta(days=7)),
)
async def follow_deployment(ctx: inngest.Context) -> str:
    """Ends with the first good news, or when none came in two days."""
    data: Any = ctx.event.data
    deployment = f"/repos/{data['repository']['full_name']}/deployments/{data['deployment']['id']}"
    await ctx.step.run("pending", GitHub(ctx.run_id).post, f"{deployment}/statuses", {"state": "pending"})
    done = await ctx.step.wait_for_event(
        "success",
        event="github/deployment_status.created",
        if_exp=_SUCCESS,
        timeout=timedelta(days=2),
    )
    return "deployed" if done else "lost"
