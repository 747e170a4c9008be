"""Doing the same to many runs: cancelling them, or running them again.

Each of these gives its progress again and again, and goes on only when the next one is asked for, so that whoever
drives it may draw a bar, or stop. It goes through the whole table by index, holds a slice of it in memory, and commits
slice by slice. It may die anywhere, and be repeated: what is cancelled is not cancelled again, and a replay that is
given its id again leaves out the runs that it has repeated.

It works here and now, for somebody who looks on. ``engine.mass_cancelling`` is the other way to cancel: a request that
workers carry out in the background, for one function and by what its event says alone.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from inngest_celery import ids
from inngest_celery.crash import crash_point
from inngest_celery.engine.cancelling import cancel_run
from inngest_celery.store import listing
from inngest_celery.store.conflicts import retried
from inngest_celery.store.listing import Order, RunTime
from inngest_celery.store.rows import Job, RunStatus
from inngest_celery.worker import hints
from inngest_celery.worker.rerunning import RerunError, rerun_once
from inngest_celery.worker.runs import RunNotFoundError
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.selecting import Selection, slices

# So many runs are cancelled in one transaction.
_AT_ONCE = 50
_OLDEST_FIRST = Order(RunTime.QUEUED_AT, descending=False)
_OPEN = (RunStatus.SCHEDULED, RunStatus.RUNNING)
# Clocks may differ by so much.
_AHEAD_MS = 5000


class ReplayIdError(ValueError):
    """What is given as the id of a replay is none. ``code`` is ``replay_id_invalid``."""

    code = "replay_id_invalid"

    def __init__(self, replay_id: str) -> None:
        super().__init__(
            f"{replay_id[:100]!r} is no id of a replay. Give the one that the replay printed when it began, or none to "
            "begin a new one."
        )


@dataclass(slots=True)
class Progress:
    """How far it is. What is given again and again is this one, with new numbers.

    Attributes:
        looked_at: how many runs an index has given.
        chosen: how many of those are meant.
        done: how many of those were cancelled, or run again.
        before: how many had ended meanwhile, or were run again before, by the same replay.
        refused: how many cannot be run again, by the reason.
    """

    looked_at: int = 0
    chosen: int = 0
    done: int = 0
    before: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def new_replay_id(runtime: Runtime) -> str:
    """Give the id of a new replay. Whoever keeps it can go on with the replay after it was interrupted."""
    return ids.new(runtime.clock.now())


def to_cancel(runtime: Runtime, chosen: Selection) -> Selection:
    """Give those of the runs that can be cancelled: they have not ended, and were there before now."""
    statuses = [status for status in chosen.wanted.statuses or _OPEN if status in _OPEN]
    if not statuses:
        return replace(chosen, wanted=replace(chosen.wanted, ids=()))
    return _older(replace(chosen, wanted=replace(chosen.wanted, statuses=statuses)), runtime.clock.now())


def to_replay(runtime: Runtime, chosen: Selection, replay_id: str) -> Selection:
    """Give those of the runs that a replay repeats: they were there before it began, so it repeats none of its own.

    Raises:
        ReplayIdError: that is no id of a replay.
    """
    try:
        began_at = ids.time_of(replay_id)
    except ValueError:
        raise ReplayIdError(replay_id) from None
    if began_at > runtime.clock.now() + _AHEAD_MS:
        raise ReplayIdError(replay_id)
    return _older(chosen, began_at)


def count(runtime: Runtime, chosen: Selection) -> Iterator[Progress]:
    """Count the runs that are chosen; the last progress has the number.

    With an expression each run is looked at; without, the database counts.

    Raises:
        ExpressionError: the expression cannot be read.
    """
    if not (chosen.where or "").strip():
        with runtime.database.autocommit() as connection:
            found = listing.count(connection, chosen.wanted)
        yield Progress(looked_at=found, chosen=found)
        return
    progress = Progress()
    for part in slices(runtime, chosen, _OLDEST_FIRST):
        progress.looked_at += part.looked_at
        progress.chosen += len(part.runs)
        yield progress


def cancel(runtime: Runtime, chosen: Selection, reason: str) -> Iterator[Progress]:
    """Cancel the runs that are chosen and have not ended, the oldest first.

    Steps that execute are not stopped, but what they give is dropped.

    Args:
        reason: is shown with each run.

    Raises:
        ExpressionError: the expression cannot be read.

    Example: ``for progress in cancel(runtime, chosen, "the import was wrong"): print(progress.done)``
    """
    progress = Progress()
    for part in slices(runtime, to_cancel(runtime, chosen), _OLDEST_FIRST, size=_AT_ONCE):
        cancelled, due = _cancel(runtime, [run.id for run in part.runs], reason) if part.runs else (0, [])
        hints.publish(runtime, due)
        progress.looked_at += part.looked_at
        progress.chosen += len(part.runs)
        progress.done += cancelled
        progress.before += len(part.runs) - cancelled
        yield progress


@retried
def _cancel(runtime: Runtime, run_ids: Sequence[str], reason: str) -> tuple[int, list[Job]]:
    """Cancel runs in one transaction; give how many had not ended, and the jobs that are due."""
    now, hint_ms = runtime.clock.now(), runtime.settings.hint_timeout_ms
    cancelled = 0
    due: list[Job] = []
    with runtime.database.transaction() as connection:
        for run_id in run_ids:
            told = cancel_run(connection, run_id, reason, now=now, hint_ms=hint_ms, route_queue=runtime.route_queue)
            cancelled += told is not None
            due += told or []
    return cancelled, due


def replay(runtime: Runtime, chosen: Selection, replay_id: str) -> Iterator[Progress]:
    """Run the runs that are chosen again, the oldest first. Their idempotency and rate limits do not count.

    The new runs' ids are made of the replay's and of the old ones, so each is started once, however often this is done
    and by how many at once. One that cannot be repeated is counted, and left out.

    Args:
        replay_id: a new one from :func:`new_replay_id`, or that of a replay to go on with.

    Raises:
        ExpressionError: the expression cannot be read.
        ReplayIdError: that is no id of a replay.
    """
    meant = to_replay(runtime, chosen, replay_id)
    began_at = ids.time_of(replay_id)
    progress = Progress()
    for part in slices(runtime, meant, _OLDEST_FIRST):
        new_ids = {run.id: ids.derived(began_at, "replay", replay_id, run.id) for run in part.runs}
        with runtime.database.autocommit() as connection:
            known = listing.known(connection, list(new_ids.values()))
        for run_id, new_id in new_ids.items():
            _replay_one(runtime, run_id, new_id, progress, was_done=new_id in known)
        progress.looked_at += part.looked_at
        progress.chosen += len(part.runs)
        yield progress


def for_a_while(seconds: float, steps: Iterator[Progress]) -> tuple[Progress, bool]:
    """Go on until all is done or time is up; tell how far it came, and whether that is all.

    Example: ``progress, complete = for_a_while(5.0, cancel(runtime, chosen, "by mistake"))``
    """
    give_up_at = time.monotonic() + seconds
    progress = Progress()
    for progress in steps:
        if time.monotonic() > give_up_at:
            return progress, False
    return progress, True


def _replay_one(runtime: Runtime, run_id: str, new_id: str, progress: Progress, *, was_done: bool) -> None:
    try:
        due = None if was_done else rerun_once(runtime, run_id, new_id)
    except RerunError as error:
        progress.refused[str(error)] += 1
        return
    except RunNotFoundError:
        progress.refused["the run was deleted meanwhile"] += 1
        return
    if due is None:
        progress.before += 1
        return
    crash_point("bulk_replayed")
    hints.publish(runtime, due)
    progress.done += 1


def _older(chosen: Selection, than: int) -> Selection:
    """Give those of the runs that were there before a time."""
    first = ids.first_of(than)
    before = min(chosen.wanted.before or first, first)
    return replace(chosen, wanted=replace(chosen.wanted, before=before))
