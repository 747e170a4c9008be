"""Tools that start something: an event, a call."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from inngest_celery import ids
from inngest_celery.server import events
from inngest_celery.server.mcp import shapes
from inngest_celery.server.mcp.tools import Arguments
from inngest_celery.server.state import Server
from inngest_celery.worker import invoking
from inngest_celery.worker.runs import RunInfo, RunNotFoundError, Runs

_POLL_S = (0.05, 1.0)


class EventArguments(Arguments):
    name: str = Field(description='The event\'s name, such as "shop/order.placed"; functions are triggered by it.')
    data: dict[str, Any] = Field(default_factory=dict, description="What the functions read as event.data.")
    user: dict[str, Any] | None = Field(None, description="What they read as event.user.")
    event_id_seed: str | None = Field(
        None,
        description="The same seed again is the same event, and starts no second run: give one if you may repeat the "
        "call.",
    )


class CallArguments(Arguments):
    function_id: str = Field(description="The full id, as list_functions gives it: <app id>-<function id>.")
    data: dict[str, Any] = Field(default_factory=dict, description="What the function reads as event.data.")
    user: dict[str, Any] | None = Field(None, description="What it reads as event.user.")
    timeout: float = Field(30, ge=0, le=300, description="Seconds to wait for its end.")


def send_event(server: Server, given: EventArguments) -> object:
    """Send an event. Every function that it triggers starts a run, a moment later.

    Gives the event's id. Pass it to get_event_runs to see which runs it has started, or to get_run_status if it starts
    one. To run one certain function and see its result, use invoke_function_sync instead.
    """
    event = {"name": given.name, "data": given.data, "user": given.user}
    seed = given.event_id_seed or ""
    if seed and ids.from_seed(seed, 0) is None:
        # No seed in the form of SDKs: it is as good as the sender's own id.
        event["id"], seed = seed, ""
    [event_id] = events.store(server, [event], seed, by=events.asking(server))
    return {"eventId": event_id}


async def invoke_function_sync(server: Server, given: CallArguments) -> object:
    """Call a function, whatever triggers it, and wait for what comes of it.

    Gives the run with its output, or with its error if it failed. If it has not ended in time it goes on, and "ended"
    is false: ask poll_run_status for it later, or why for what it waits for. Do not call it again for that.
    """
    called = await run_in_threadpool(invoking.invoke, server.runtime, given.function_id, given.data, given.user)
    run = await _ended(server, called.event_id, given.timeout)
    if run is None:
        return {"runId": called.run_id, "eventId": called.event_id, "status": "QUEUED", "ended": False}
    return shapes.of_info(server, run)


async def _ended(server: Server, event_id: str, timeout: float) -> RunInfo | None:
    """Wait for the run of a call; give it as it stands when it has ended, or time is up."""
    found = Runs(server.runtime.app)
    pause, longest = _POLL_S
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + timeout
    while True:
        try:
            run = await run_in_threadpool(found.get, event_id)
        except RunNotFoundError:
            run = None
        if (run is not None and run.ended) or loop.time() + pause > give_up_at:
            return run
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, longest)
