"""Cancelling or repeating all runs that a filter finds: counted first, then done for a while, and gone on with."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from inngest_celery.engine.expressions import ExpressionError
from inngest_celery.server import notices
from inngest_celery.server.dashboard.acting import Acting
from inngest_celery.server.dashboard.filters import Filter, RunsFilter
from inngest_celery.server.errors import ApiError
from inngest_celery.server.rendering import page
from inngest_celery.server.state import Server, Serving
from inngest_celery.worker import bulk
from inngest_celery.worker.bulk import ReplayIdError
from inngest_celery.worker.selecting import Selection

router = APIRouter()

# Nobody looks at an empty page for longer, and proxies give up after a minute.
_COUNTS_S, _ACTS_S = 3.0, 10.0

Action = Literal["cancel", "replay"]
Wanted = Annotated[Action, Query()]


@router.get("/runs/many")
def ask(request: Request, server: Serving, wanted: Filter, action: Wanted, replay: str = "") -> Response:
    """Say how many runs it would be, and ask whether to go on."""
    replay_id = replay or bulk.new_replay_id(server.runtime)
    chosen = _chosen(server, wanted, action, replay_id)
    progress, complete = bulk.for_a_while(_COUNTS_S, bulk.count(server.runtime, chosen))
    return page(
        request,
        "many.html",
        wanted=wanted,
        action=action,
        number=progress.chosen,
        complete=complete,
        goes_on=bool(replay),
        replay_id=replay_id,
    )


@router.post("/runs/many")
def act(
    server: Serving, acting: Acting, wanted: Filter, action: Wanted, replay: Annotated[str, Form()] = ""
) -> Response:
    """Do it to as many as there is time for; whoever goes on begins where this ended."""
    chosen = _chosen(server, wanted, action, replay)
    shown = wanted.model_dump(exclude={"where"}, exclude_defaults=True)
    with acting.does(f"runs.{action}", wanted.function, {"filter": shown, "replay": replay[:26]}) as entry:
        steps = (
            bulk.cancel(server.runtime, chosen, "cancelled in the dashboard")
            if action == "cancel"
            else bulk.replay(server.runtime, chosen, replay)
        )
        progress, complete = bulk.for_a_while(_ACTS_S, steps)
        entry.tell(number=progress.done)
    done = f"{progress.done:,} runs were {'cancelled' if action == 'cancel' else 'started again'}"
    if not complete:
        to = wanted.address("/runs/many", action=action, replay=replay)
        return notices.redirect(to, f"{done}; there are more. Go on?")
    refused = "; ".join(f"{number:,} cannot be: {why}" for why, number in progress.refused.items())
    return notices.redirect(wanted.address(), f"{done}{'; ' + refused if refused else ''}.", failed=bool(refused))


def _chosen(server: Server, wanted: RunsFilter, action: Action, replay_id: str) -> Selection:
    """Give the runs that are meant.

    Raises:
        ApiError: nothing says which, or it cannot be read.
    """
    if not wanted.given:
        raise ApiError(400, "Say which runs: filter them by status, function, app, time or an expression first.")
    try:
        chosen = wanted.selection(server)
        if action == "cancel":
            return bulk.to_cancel(server.runtime, chosen)
        return bulk.to_replay(server.runtime, chosen, replay_id)
    except (ExpressionError, ReplayIdError) as error:
        raise ApiError(400, str(error), code=error.code) from error
