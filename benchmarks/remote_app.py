"""The app on the official SDK that ``benchmarks.remote`` measures: ``python -m benchmarks.remote_app SERVER PORT``.

It serves HTTP on the port, or with ``connect`` instead of it dials in.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import inngest
import uvicorn
from fastapi import FastAPI
from inngest import fast_api
from inngest.connect import connect

KEY = "signkey-prod-" + "5e" * 32
STEPS = 5


def main(server: str, place: str) -> None:
    client = inngest.Inngest(
        app_id="bench",
        is_production=True,
        api_base_url=server,
        event_api_base_url=server,
        event_key="bench",
        signing_key=KEY,
    )

    @client.create_function(fn_id="five", trigger=inngest.TriggerEvent(event="bench/five"))
    async def five(ctx: inngest.Context) -> Any:
        async def step() -> float:
            return time.time()

        times = [await ctx.step.run(f"step-{number}", step) for number in range(STEPS)]
        return times[0]

    if place == "connect":
        asyncio.run(connect([(client, [five])]).start())
    else:
        app = FastAPI()
        fast_api.serve(app, client, [five])
        uvicorn.run(app, host="127.0.0.1", port=int(place), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
