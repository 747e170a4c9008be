"""One short transaction of retention: the next rows of a walk, and those of them deleted whose time is over.

What dies before the commit has deleted nothing but results in the result backend, which nobody is owed any more; what
dies after it has passed these rows. Two that walk the same walk: one wins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from inngest_celery import ids
from inngest_celery.crash import crash_point
from inngest_celery.keeping import LEAST_MS, for_event
from inngest_celery.store import aged, events, holds, removing, walks
from inngest_celery.store.aged import Aged
from inngest_celery.store.conflicts import retried
from inngest_celery.store.removing import Counts
from inngest_celery.store.rows import JobKind
from inngest_celery.store.walks import Walk
from inngest_celery.worker import holding, results
from inngest_celery.worker.keeping.plan import KeepPlan
from inngest_celery.worker.runtime import Runtime

# So many rows are looked at for one transaction.
AT_ONCE = 200
_AGAIN_MS = 7 * 86_400_000
RUNS, EVENTS = "runs", "events"


@dataclass(slots=True)
class Ended:
    """What one transaction has done.

    Attributes:
        looked_at: how many rows the walk has passed.
        counts: how many it has deleted, by table.
        more: whether there may be more at once.
    """

    looked_at: int = 0
    counts: Counts = field(default_factory=dict)
    more: bool = False


def lengths(plan: KeepPlan) -> list[tuple[str, int]]:
    """Give the walks that a plan wants: through what, and which length of time it is for."""
    return [(RUNS, each) for each in plan.run_lengths()] + [(EVENTS, each) for each in plan.event_lengths()]


def name_of(what: str, length: int) -> str:
    """Give the name of a walk."""
    return f"{what}:{length}"


def _leave_none(row: Aged, length: int) -> bool:
    return False


def go_on(
    runtime: Runtime, plan: KeepPlan, what: str, length: int, leave: Callable[[Aged, int], bool] = _leave_none
) -> Ended:
    """Go on with a walk for one transaction.

    Args:
        leave: what tells whether a row, which is over its time, is left to whoever drops its partition.

    Raises:
        redis.RedisError, OperationalError, OSError: the result backend does not answer.
    """
    now = runtime.clock.now()
    with runtime.database.autocommit() as connection:
        walk = walks.of(connection, name_of(what, length), plan.version, now)
        if walk.arrived_at is not None and walk.began_at <= now - _AGAIN_MS:
            walks.begin_anew(connection, [walk.name], now)
            walk = walks.of(connection, walk.name, plan.version, now)
        if what == RUNS:
            page = aged.ended_runs(connection, walk, now - length, AT_ONCE, with_names=plan.by_event)
            over = [row for row in page if plan.keeps(row) == length]
        else:
            page = aged.events(connection, walk, now - length, AT_ONCE)
            over = [row for row in page if _keeps_event(plan, row) == length]
            over = _not_put_off(connection, over)
        over = [row for row in over if not leave(row, length)]
        active = holds.active(connection) if over and what == RUNS else []
        held = holding.among(connection, active, [row.id for row in over])
    over = [row for row in over if row.id not in held]
    if what == RUNS:
        results.forget(runtime, [row.id for row in over])
    known = {hold.id for hold in active}
    try:
        return holding.deleting(runtime, lambda: _end(runtime, plan, walk, page, over, known, now))
    except _LookAgain:
        return Ended(more=True)


class _LookAgain(Exception):
    """Somebody has walked on, or added a hold that may hold some of these; nothing is written."""


def _keeps_event(plan: KeepPlan, row: Aged) -> int | None:
    rule = for_event(plan.rules, row.event_name or "")
    return None if rule is None else rule.keep_ms


@retried
def _end(
    runtime: Runtime, plan: KeepPlan, walk: Walk, page: Sequence[Aged], over: Sequence[Aged], known: set[str], now: int
) -> Ended:
    full = len(page) == AT_ONCE
    last = page[-1] if page else Aged(walk.position, walk.at, None)
    ended = Ended(len(page), more=full)
    with runtime.database.transaction() as connection:
        if over and walk.name.startswith(RUNS):
            if {hold.id for hold in holds.share(connection)} - known:
                raise _LookAgain
            removing.add(ended.counts, _end_runs(connection, plan, [row.id for row in over], now))
        elif over:
            gone = removing.unneeded(connection, [row.id for row in over], until=now - LEAST_MS)
            removing.add(ended.counts, removing.events(connection, gone))
        removed = sum(ended.counts.values())
        arrived_at = None if full else now
        if not walks.advance(connection, walk, at=last.at, position=last.id, removed=removed, arrived_at=arrived_at):
            raise _LookAgain
        crash_point("retention_before_commit")
    crash_point("retention_after_commit")
    return ended


def _end_runs(connection: sa.Connection, plan: KeepPlan, run_ids: Sequence[str], now: int) -> Counts:
    """Delete runs with what they have cost, and the events that nothing needs any more."""
    found = removing.lock_ended(connection, run_ids)
    event_ids = removing.started_by(connection, found)
    event_ids.update(event_id for run_id in found for event_id in removing.told_of(run_id))
    counts = removing.runs(connection, found, with_costs=True)
    gone = removing.unneeded(
        connection, event_ids, until=now - LEAST_MS, may_go=lambda name, at: plan.may_go(name, at, now)
    )
    removing.add(counts, removing.events(connection, gone))
    return counts


def _not_put_off(connection: sa.Connection, rows: Sequence[Aged]) -> list[Aged]:
    """Leave out calls that a debounce has put off: no run and no table but its job's notes tells of them."""
    called = [row.id for row in rows if removing.is_call(row.event_name or "")]
    if not called:
        return list(rows)
    wanted: set[str] = set()
    for event in events.several(connection, called):
        function_id = json.loads(event.data).get("_inngest", {}).get("fn_id")
        wanted.add(ids.stand_in(str(function_id)))
    noted = aged.put_off(connection, wanted, JobKind.DEBOUNCE.value)
    put_off = {json.loads(text).get("event") for text in noted}
    return [row for row in rows if row.id not in put_off]
