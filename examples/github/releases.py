"""Releases: build, upload through a flaky network, embargo, announce; and what to do when all that fails."""

from __future__ import annotations

import datetime
from typing import Any

import inngest_celery as inngest
from examples.github.api import GitHub
from examples.github.app import client

_PLATFORMS = ("linux", "macos", "windows")


async def withdraw(ctx: inngest.Context) -> None:
    """Runs when the release has failed for good; its event tells which and why."""
    github = GitHub(ctx.run_id)
    error: Any = ctx.event.data["error"]
    await ctx.step.run("open issue", github.post, "/repos/issues", {"title": error["message"]})


@client.create_function(
    fn_id="release",
    trigger=[
        inngest.TriggerEvent(event="github/release.published", expression="event.data.release.draft == false"),
        inngest.TriggerEvent(event="github/release.prereleased"),
    ],
    retries=3,
    on_failure=withdraw,
)
async def release(ctx: inngest.Context) -> list[str]:
    github = GitHub(ctx.run_id)
    data: Any = ctx.event.data
    path = f"/repos/{data['repository']['full_name']}/releases/{data['release']['id']}"

    async def sign(tag: str, *, prerelease: bool) -> str:
        await github.post(f"{path}/signature", {"tag": tag})
        if prerelease:
            raise inngest.NonRetriableError(f"{tag} is a prerelease: there is no key to sign it with")
        return f"{tag}.sig"

    async def sign_this() -> str:
        return await sign(data["release"]["tag_name"], prerelease=data["release"]["prerelease"])

    signature = await ctx.step.run("sign", sign_this)
    uploads = [
        await ctx.step.run(f"upload {platform}", github.upload, f"{path}/{platform}.zip") for platform in _PLATFORMS
    ]
    published = datetime.datetime.fromtimestamp(ctx.event.ts / 1000, datetime.UTC)
    await ctx.step.sleep_until("embargo", published + datetime.timedelta(minutes=15))
    await ctx.step.send_event(
        "announce", inngest.Event(name="release/announced", data={"path": path, "signature": signature})
    )
    return uploads


@client.create_function(fn_id="spread-the-word", trigger=inngest.TriggerEvent(event="release/announced"))
async def spread_the_word(ctx: inngest.Context) -> int:
    github = GitHub(ctx.run_id)
    channels = ("blog", "chat", "mail")
    for channel in channels:
        await ctx.step.run("post", github.post, f"{ctx.event.data['path']}/{channel}", {})  # the same id, three times
    return len(channels)
