"""Runs that failed, grouped by what went wrong; a whole group can be run again."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from inngest_celery.server import notices
from inngest_celery.server.dashboard.acting import Acting
from inngest_celery.server.errors import ApiError
from inngest_celery.server.rendering import address, page
from inngest_celery.server.state import Server, Serving
from inngest_celery.server.viewing import eyes_of
from inngest_celery.store import failures, functions
from inngest_celery.store.failures import FailedRun
from inngest_celery.store.listing import RunFilter
from inngest_celery.worker import bulk
from inngest_celery.worker.selecting import Selection

router = APIRouter()

# So many are looked at: what failed before that is found among the runs.
_LOOKED_AT = 5_000
# So many are run again by one request; the next one goes on.
_AT_ONCE = 200
# What differs between two errors that are the same: ids, numbers, what stands in quotes.
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-fA-F-]{8,}\b|\b[0-9A-HJKMNP-TV-Z]{26}\b|\d+")


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one function that failed alike.

    Attributes:
        key: names the group.
        run_ids: the newest first.
        first_at, last_at: when the first and last of them failed, in milliseconds.
    """

    key: str
    function_id: str
    name: str
    message: str
    run_ids: list[str]
    first_at: int | None
    last_at: int | None


@router.get("/failures")
def list_failures(request: Request, server: Serving, function: str = "", replay: str = "") -> Response:
    """Show what went wrong lately, the most frequent first."""
    with server.runtime.database.autocommit() as connection:
        found = failures.latest(connection, _LOOKED_AT, function or None)
        known = sorted(row.id for row in functions.all_of(connection))
    return page(
        request,
        "failures.html",
        groups=grouped(_seen(server, found)),
        function=function,
        function_ids=known,
        cut=len(found) == _LOOKED_AT,
        looked_at=len(found),
        # A form that is sent twice repeats each run once.
        replay_id=replay or bulk.new_replay_id(server.runtime),
    )


@router.post("/failures/replay")
def replay_group(
    server: Serving,
    acting: Acting,
    group: Annotated[str, Form()],
    replay: Annotated[str, Form()],
    function: Annotated[str, Form()] = "",
) -> Response:
    """Run those of a group again, some at a time."""
    with server.runtime.database.autocommit() as connection:
        found = failures.latest(connection, _LOOKED_AT, function or None)
    chosen = next((each for each in grouped(_seen(server, found)) if each.key == group), None)
    if chosen is None:
        raise ApiError(404, "None of the runs that failed lately are in this group any more.", code="not_found")
    done = bulk.Progress()
    with acting.does("runs.replay", chosen.function_id, {"group": group, "replay": replay[:26]}) as entry:
        for done in bulk.replay(server.runtime, Selection(RunFilter(ids=chosen.run_ids)), replay):
            if done.done >= _AT_ONCE:
                break
        entry.tell(started=done.done)
    left = len(chosen.run_ids) - done.done - done.before - sum(done.refused.values())
    back = address("/failures", {"function": function, "replay": replay if left else ""})
    text = f"{done.done} of {len(chosen.run_ids)} were started again"
    if left:
        return notices.redirect(back, f"{text}; {left} are left: run them again to go on.")
    refused = "; ".join(f"{number} cannot be: {why}" for why, number in done.refused.items())
    return notices.redirect(back, f"{text}{'; ' + refused if refused else ''}.", failed=bool(refused))


def _seen(server: Server, found: Sequence[FailedRun]) -> list[FailedRun]:
    eyes = eyes_of(server)
    return [run._replace(output=eyes.error(run.output, run.function_id)) for run in found]


def grouped(found: Sequence[FailedRun]) -> list[Group]:
    """Put runs that failed alike together, the largest group first."""
    members: dict[tuple[str, str, str], list[FailedRun]] = defaultdict(list)
    for run in found:
        name, message = _error_of(run)
        members[run.function_id, name, _VARYING.sub("…", message)].append(run)
    groups = [_group(function_id, name, runs) for (function_id, name, _), runs in members.items()]
    return sorted(groups, key=lambda group: len(group.run_ids), reverse=True)


def _group(function_id: str, name: str, runs: list[FailedRun]) -> Group:
    _, message = _error_of(runs[0])
    what = "\0".join((function_id, name, _VARYING.sub("…", message)))
    times = [run.ended_at for run in runs if run.ended_at is not None]
    return Group(
        key=hashlib.sha256(what.encode()).hexdigest()[:16],
        function_id=function_id,
        name=name,
        message=message,
        run_ids=[run.id for run in runs],
        first_at=min(times, default=None),
        last_at=max(times, default=None),
    )


def _error_of(run: FailedRun) -> tuple[str, str]:
    """Give the name and the first line of the message of a run's error."""
    try:
        error = json.loads(run.output or "null")
    except ValueError:
        error = None
    if not isinstance(error, dict):
        return "Error", str(error)[:200]
    message = str(error.get("message") or "").strip()
    return str(error.get("name") or "Error"), message.splitlines()[0][:500] if message else ""
