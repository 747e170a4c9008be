"""Tools that act on many runs: counted first, done for as long as a call may take, gone on with by another call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from inngest_celery.server.mcp.tools import Arguments, ToolError
from inngest_celery.server.state import Server
from inngest_celery.server.times import read_instant
from inngest_celery.server.viewing import eyes_of
from inngest_celery.store.listing import RunFilter
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker import bulk
from inngest_celery.worker.bulk import Progress
from inngest_celery.worker.selecting import Selection, function_ids

# Clients give up after a minute, some after half of one.
_LONGEST_S = 20.0

Status = Literal["QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED"]


class Choice(Arguments):
    """Which runs; at least one of these has to be given."""

    run_ids: list[str] | None = Field(None, min_length=1, max_length=1000, description="Only these.")
    status: list[Status] | None = Field(None, description="Only runs that stand so.")
    function_id: list[str] | None = Field(None, description="Only of these functions, by their full ids.")
    app_id: list[str] | None = Field(None, description="Only of the functions of these apps.")
    event_name: list[str] | None = Field(None, description="Only those that events of these names started.")
    since: str | None = Field(None, description="Only those that were queued at or after this: 2030-01-31T12:00:00Z.")
    until: str | None = Field(None, description="Only those that were queued before this.")
    where: str | None = Field(
        None,
        description='Only where this expression is true, over event, output and error: event.data.plan == "pro" && '
        'error.message.contains("timeout").',
    )
    dry_run: bool = Field(True, description="Only count them. Do that first; then give false.")


class CancelArguments(Choice):
    reason: str = Field("cancelled by a model", max_length=200, description="Is shown with each run.")


class ReplayArguments(Choice):
    replay_id: str | None = Field(
        None, description="That of a replay to go on with: no run is repeated twice under the same one."
    )


def cancel(server: Server, given: CancelArguments) -> object:
    """Cancel runs that have not ended: by their ids, or all that a filter chooses.

    Call it with dryRun first, which is the default: it counts them. Tell that number to whoever asked, and call it
    again with dryRun false. It cannot be undone, but replay runs them again. If "complete" is false, time was up: call
    it again with the same arguments. For one run cancel_run will do.
    """
    chosen = bulk.to_cancel(server.runtime, _selection(server, given))
    if given.dry_run:
        return _counted(bulk.count(server.runtime, chosen))
    progress, complete = bulk.for_a_while(_LONGEST_S, bulk.cancel(server.runtime, chosen, given.reason))
    return {"complete": complete, "cancelled": progress.done, "endedBefore": progress.before}


def replay(server: Server, given: ReplayArguments) -> object:
    """Run runs again from the beginning, on the same events: by their ids, or all that a filter chooses.

    Failed ones only, unless status or runIds says otherwise. Call it with dryRun first, which is the default: it counts
    them. Tell that number to whoever asked, and call it again with dryRun false. If "complete" is false, time was up:
    call it again with the same arguments and the replayId that it gave, and it goes on without repeating a run twice.
    For one run, or from a step on, use rerun.
    """
    if not given.status and not given.run_ids:
        # Written down, so that a filter of nothing but that is none.
        _refuse_everything(given)
        given = given.model_copy(update={"status": ["FAILED"]})
    replay_id = given.replay_id or bulk.new_replay_id(server.runtime)
    chosen = bulk.to_replay(server.runtime, _selection(server, given), replay_id)
    if given.dry_run:
        return _counted(bulk.count(server.runtime, chosen))
    progress, complete = bulk.for_a_while(_LONGEST_S, bulk.replay(server.runtime, chosen, replay_id))
    done = {"started": progress.done, "startedBefore": progress.before, "refused": dict(progress.refused)}
    return {"replayId": replay_id, "complete": complete, **done}


def _selection(server: Server, given: Choice) -> Selection:
    _refuse_everything(given)
    statuses = [RunStatus.SCHEDULED if each == "QUEUED" else RunStatus[each] for each in given.status or ()]
    wanted = RunFilter(
        since=read_instant(given.since, "since"),
        until=read_instant(given.until, "until"),
        statuses=statuses,
        function_ids=function_ids(server.runtime, given.function_id or (), given.app_id or ()),
        event_names=given.event_name or (),
        ids=given.run_ids,
    )
    return Selection(wanted, given.where, eyes_of(server))


def _refuse_everything(given: Choice) -> None:
    chosen = (given.run_ids, given.status, given.function_id, given.app_id, given.event_name, given.since, given.until)
    if not any(chosen) and not (given.where or "").strip():
        raise ToolError("runs_not_chosen", "Say which runs: by runIds, functionId, status, since and so on.")


def _counted(steps: Iterator[Progress]) -> dict[str, object]:
    progress, complete = bulk.for_a_while(_LONGEST_S, steps)
    advice = "Call it again with dryRun false to do it." if complete else "There are more; narrow the time."
    return {"dryRun": True, "complete": complete, "chosen": progress.chosen, "advice": advice}
