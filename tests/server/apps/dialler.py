"""An app on the official SDK that dials in, as a process: ``python -m tests.server.apps.dialler SERVER JOURNAL GATE``.

It notes in the journal what it executes, and holds a step while the gate is there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import inngest
from inngest.connect import connect

SERVER, JOURNAL, GATE = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
client = inngest.Inngest(app_id="dialler", is_production=False, api_base_url=SERVER, event_api_base_url=SERVER)


@client.create_function(fn_id="order", trigger=inngest.TriggerEvent(event="order/placed"), retries=3)
async def order(ctx: inngest.Context) -> Any:
    number = ctx.event.data["order"]

    async def note(step: str) -> str:
        # One write of one line: it is there whole, or not at all.
        with JOURNAL.open("a") as journal:
            journal.write(f"{os.getpid()} {step} of {number}\n")
        while GATE.exists():
            await asyncio.sleep(0.01)
        return step

    first = await ctx.step.run("reserve", note, "reserve")
    both = await ctx.group.parallel(
        (lambda: ctx.step.run("pack", note, "pack"), lambda: ctx.step.run("bill", note, "bill"))
    )
    await ctx.step.sleep("settle", timedelta(seconds=1))
    return [first, *both, await ctx.step.run("ship", note, "ship")]


if __name__ == "__main__":
    asyncio.run(connect([(client, [order])]).start())
