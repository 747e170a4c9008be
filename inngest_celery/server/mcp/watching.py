"""Tools that look at runs."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from pydantic.alias_generators import to_camel

from inngest_celery.server.mcp import shapes
from inngest_celery.server.mcp.tools import Arguments
from inngest_celery.server.state import Server
from inngest_celery.server.times import instant_or_none
from inngest_celery.server.viewing import eyes_of
from inngest_celery.worker.runs import Runs
from inngest_celery.worker.why import explain
from inngest_celery.worker.why.reason import Reason

_RunId = Annotated[str, Field(description="A run's id, or that of an event that has started one run.")]
_WORKERS_S = 1.0


class RunArguments(Arguments):
    run_id: _RunId


class PollArguments(Arguments):
    run_ids: list[str] = Field(min_length=1, max_length=100, description="Ids of runs.")
    timeout: float = Field(30, ge=0, le=300, description="Seconds to wait.")
    poll_interval: int = Field(1000, ge=100, le=60_000, description="Milliseconds between two looks.")


def get_run_status(server: Server, given: RunArguments) -> object:
    """Tell how a run stands: its status, and its output or its error.

    If it has not ended, poll_run_status waits for that, and why tells what it waits for. get_run_trace has its steps.
    """
    return shapes.of_info(server, Runs(server.runtime.app).get(given.run_id))


async def poll_run_status(server: Server, given: PollArguments) -> object:
    """Wait until all of these runs have ended, or time is up, and tell how each stands.

    "allEnded" tells whether they have. What has no run yet is in "unknown": it may start in a moment. Use this instead
    of asking get_run_status again and again.
    """
    loop = asyncio.get_running_loop()
    give_up_at, pause = loop.time() + given.timeout, given.poll_interval / 1000
    wanted = list(dict.fromkeys(given.run_ids))
    while True:
        found = await run_in_threadpool(shapes.of_ids, server, wanted)
        told = [shapes.of_row(server, found[each]) for each in wanted if each in found]
        unknown = [each for each in wanted if each not in found]
        all_ended = not unknown and all(run["ended"] for run in told)
        if all_ended or loop.time() + pause > give_up_at:
            return {"allEnded": all_ended, "runs": told, "unknown": unknown}
        await asyncio.sleep(pause)


def why(server: Server, given: RunArguments) -> object:
    """Explain what a run waits for right now, or how it ended, and what would change that.

    Each reason has a stable code, a text and an advice: the sleep or event that it waits for, the limit and its place
    in line, the worker that is missing, the function that is paused. Use it whenever a run does not go on as expected.
    """
    found = explain(server.runtime, given.run_id, _WORKERS_S, eyes_of(server))
    run = shapes.of_info(server, found.run) if found.run is not None else None
    return {"run": run, "reasons": [_reason(reason) for reason in found.reasons]}


def _reason(reason: Reason) -> dict[str, Any]:
    told = {**asdict(reason), "next_at": instant_or_none(reason.next_at)}
    if reason.in_line is not None:
        told["in_line"] |= {"set_until": instant_or_none(reason.in_line.set_until)}
    return {to_camel(name): value for name, value in told.items() if value not in (None, "")}
