"""Partitioned tables: a period of which all is over its time is dropped, where rows would be deleted one by one.

A run of such a period that is over its time waits for the others of it: at most as long as a period is, and half as
long again as its rule says. A period of which more has to stay than may be copied goes by rows, as all does elsewhere.
What is known here of periods may be lost: another process finds it out again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy import exc

from inngest_celery.crash import crash_point
from inngest_celery.keeping import LEAST_MS, for_event
from inngest_celery.store import aged, dropping, holds, partitions, removing, walks
from inngest_celery.store.aged import Aged, Alike
from inngest_celery.store.conflicts import retried
from inngest_celery.store.dropping import TooMany
from inngest_celery.store.partitions import Period
from inngest_celery.store.removing import Counts
from inngest_celery.worker import holding, results
from inngest_celery.worker.keeping.plan import KeepPlan
from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

# So many runs are looked at in one step.
AT_ONCE = 1000
WALK = "runs:partitions"
# When to look again at a period that is not dropped: once somebody has ended or released something.
_AGAIN_S = 86_400.0
_BUSY_AGAIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to become of a period.

    Attributes:
        due_at: when it goes as a whole, in milliseconds; ``None``: it goes by rows.
        runs, events: how many there are.
        stay: about how many of them stay.
        kept: names of events, and for how long their rules keep them; ``None`` for ever.
        unruled: names of events that no rule is for, but for those that tell of runs' ends.
    """

    period: Period
    due_at: int | None
    runs: int
    events: int
    stay: int
    kept: dict[str, int | None]
    unruled: list[str]


def outlook(connection: sa.Connection, plan: KeepPlan, period: Period) -> Outlook:
    """Look at a period that has ended. It goes through all that is in it.

    Few that ended late, or came late, need not keep all others: they stay when those go.
    """
    runs, events, stay, late = 0, 0, 0, 0
    all_due = most_due = period.end_ms + LEAST_MS
    kept: dict[str, int | None] = {}
    unruled: list[str] = []
    alike: list[tuple[Alike, int | None]] = []
    for each in aged.runs_of(connection, period, with_names=plan.by_event):
        runs += each.number
        run = Aged("", 0, each.event_name, each.function_id, each.status)
        alike.append((each, plan.keeps(run) if each.status.ended else None))
    for each in aged.events_of(connection, period):
        events += each.number
        name = each.event_name or ""
        rule = for_event(plan.rules, name)
        if rule is not None:
            kept[name] = rule.keep_ms
            alike.append((each, rule.keep_ms))
        elif name not in removing.TOLD:
            unruled.append(name)
    for each, keep in alike:
        if keep is None:
            stay += each.number
        else:
            late += each.late
            all_due, most_due = max(all_due, each.last + keep), max(most_due, each.last_in_time + keep)
    stay += dropping.count_needed(connection, period)
    if unruled:
        stay += dropping.count_lone(connection, period, unruled)
    if stay > dropping.MOST:
        return Outlook(period, None, runs, events, stay, kept, unruled)
    is_most = stay + late <= dropping.MOST
    due_at = most_due if is_most else all_due
    return Outlook(period, due_at, runs, events, stay + late if is_most else stay, kept, unruled)


def ended(found: partitions.Partitions, now: int) -> list[Period]:
    """Give the periods that may be dropped by now, if all is over its time; none where that is not ours to do.

    The last one stays: the next ones are made after it.
    """
    return [each for each in found.periods[:-1] if found.owned and each.end_ms + LEAST_MS <= now]


@dataclass(slots=True)
class _Look:
    """One that goes through a period's runs, and notes which of them stay."""

    outlook: Outlook
    began_at: int
    holds: set[str]
    behind: str = ""
    staying: set[str] = field(default_factory=set)


class _LookAgain(Exception):
    """Somebody has added a hold, or dropped it; nothing is written."""


class Periods:
    """Looks at periods, and drops those that are due, a bit at a time.

    Args:
        runtime: of the app.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._version = ""
        self._known: dict[str, Outlook] = {}
        self._again: dict[str, float] = {}
        self._busy_until = 0.0
        self._left: list[Period] = []
        self._width_ms = 0
        self._look: _Look | None = None

    def begin(self, plan: KeepPlan) -> None:
        """Begin to look at all that there are; :meth:`go_on` then does it."""
        if plan.version != self._version:
            self._version, self._known, self._again, self._look = plan.version, {}, {}, None
        with self._runtime.database.autocommit() as connection:
            found = partitions.look(connection)
        self._left = ended(found, self._runtime.clock.now())
        self._width_ms = partitions.width_ms(found.width) if found.width else 0
        there = {period.end for period in self._left}
        self._known = {end: each for end, each in self._known.items() if end in there}

    @property
    def more(self) -> bool:
        """Whether there is something to do at once."""
        return self._look is not None or bool(self._left)

    def wait_for(self, row: Aged, length: int) -> bool:
        """Tell whether a run or event, whose time is over, is left for when its period goes as a whole."""
        for known in self._known.values():
            if known.due_at is not None and known.period.has(row.id):
                return known.due_at - (row.at + length) <= min(self._width_ms, length // 2)
        return False

    def go_on(self, plan: KeepPlan) -> Counts:
        """Do one step; give how many rows it has deleted, by table.

        Raises:
            redis.RedisError, OperationalError, OSError: the result backend does not answer.
        """
        if self._look is None:
            self._look_at_next(plan)
            return {}
        look = self._look
        try:
            if self._go_through(look, plan):
                return {}
            self._look = None
            counts = holding.deleting(self._runtime, lambda: _drop(self._runtime, plan, look))
        except TooMany:
            self._look = None
            self._by_rows(look.outlook)
            return {}
        except _LookAgain:
            self._look = None
            self._left.append(look.outlook.period)
            return {}
        except exc.DBAPIError as error:
            self._look = None
            if not partitions.is_busy(error):
                raise
            # A back-up, for example, is in the way of all periods.
            self._busy_until = time.monotonic() + _BUSY_AGAIN_S
            return {}
        self._known.pop(look.outlook.period.end, None)
        name, rows = look.outlook.period.name, sum(counts.values())
        logger.info("Dropped the partitions until %s, %d rows.", name, rows, extra={"action": "partition_dropped"})
        return counts

    def _look_at_next(self, plan: KeepPlan) -> None:
        now, is_busy = self._runtime.clock.now(), time.monotonic() < self._busy_until
        wanted = [period for period in self._left if self._is_wanted(period, now, is_busy)]
        self._left = wanted[1:]
        if not wanted:
            return
        with self._runtime.database.autocommit() as connection:
            found = outlook(connection, plan, wanted[0])
            active = holds.active(connection)
        if found.due_at is None:
            self._by_rows(found)
            return
        self._known[found.period.end] = found
        if found.due_at <= now and not is_busy:
            self._look = _Look(found, now, {hold.id for hold in active})

    def _is_wanted(self, period: Period, now: int, is_busy: bool) -> bool:
        """Tell whether there is something to be found out of a period."""
        known = self._known.get(period.end)
        if known is not None and known.due_at is not None:
            return known.due_at <= now and not is_busy
        return time.monotonic() >= self._again.get(period.end, 0.0)

    def _by_rows(self, found: Outlook) -> None:
        """Leave a period to the walks, which have passed what waited for it."""
        before = self._known.pop(found.period.end, None)
        self._again[found.period.end] = time.monotonic() + _AGAIN_S
        if before is None:
            return
        with self._runtime.database.transaction() as connection:
            names = [walk.name for walk in walks.all_of(connection) if walk.name.startswith(holding.RETENTION)]
            walks.begin_anew(connection, names, self._runtime.clock.now())

    def _go_through(self, look: _Look, plan: KeepPlan) -> bool:
        """Look at the next runs of a period, and forget the results of those that go; false if there are no more."""
        with self._runtime.database.autocommit() as connection:
            period = look.outlook.period
            page = aged.runs_by_id(connection, period, look.behind, AT_ONCE, with_names=plan.by_event)
            held = holding.among(connection, holds.active(connection), [row.id for row in page])
            working = aged.with_jobs(connection, page[0].id, page[-1].id) if page else set()
        going = [
            row.id
            for row in page
            if row.id not in held and row.id not in working and _is_over(plan, row, look.began_at)
        ]
        look.staying.update({row.id for row in page}.difference(going))
        if len(look.staying) > dropping.MOST:
            raise TooMany
        results.forget(self._runtime, going)
        look.behind = page[-1].id if page else look.behind
        return len(page) == AT_ONCE


def _is_over(plan: KeepPlan, row: Aged, now: int) -> bool:
    keep = plan.keeps(row) if row.status.ended else None
    return keep is not None and row.at <= now - keep


def _telling(plan: KeepPlan, run_ids: Collection[str]) -> Iterator[str]:
    """Give the events that tell of the ends of runs that stay, unless they go by rules of their own."""
    if any(for_event(plan.rules, name) is None for name in removing.TOLD):
        for run_id in run_ids:
            yield from removing.told_of(run_id)


@retried
def _drop(runtime: Runtime, plan: KeepPlan, look: _Look) -> Counts:
    """Drop a period in one transaction: what dies before its commit has done nothing."""
    database, period, now = runtime.database, look.outlook.period, runtime.clock.now()
    since = look.began_at - LEAST_MS
    with database.transaction() as connection:
        names = [*period.of.values(), *partitions.look(connection).rest.values()]
        # Whoever has them for long is not to be waited for after all the work.
        dropping.free(connection, names)
    with database.transaction() as connection:
        if {hold.id for hold in holds.share(connection)} - look.holds or not partitions.only_one(connection):
            raise _LookAgain
        if all(there.end != period.end for there in partitions.look(connection).periods):
            raise _LookAgain
        elsewhere = dropping.elsewhere(connection, period)
        to_be = dropping.to_be(connection, period)
        staying = dropping.lone_events(connection, period, look.outlook.unruled)
        staying.update(_telling(plan, look.staying))
        counts = dropping.runs(connection, period, look.staying, since)
        kept = {name: -1 if keep is None else look.began_at - keep for name, keep in look.outlook.kept.items()}
        staying |= dropping.needed_events(connection, period, to_be, kept, since)
        dropping.require_few_steps(connection, period)
        counts["inngest_subject"] += dropping.subjects_of_events(connection, period, staying, since)
        removing.add(counts, dropping.count(connection, period))
        dropping.free(connection, names)
        for table, number in dropping.drop(connection, period, staying, to_be, since).items():
            # More may have come than there were when they were counted.
            counts[table] = max(counts.get(table, 0) - number, 0)
        # By now, what had tied them to its runs is gone too.
        gone = removing.unneeded(connection, elsewhere, until=since, may_go=lambda name, at: plan.may_go(name, at, now))
        removing.add(counts, removing.events(connection, gone))
        walk = walks.of(connection, WALK, plan.version, now)
        removed = sum(counts.values())
        if not walks.advance(connection, walk, at=now, position=period.end, removed=removed, arrived_at=now):
            raise _LookAgain
        crash_point("retention_before_drop")
    crash_point("retention_after_drop")
    return {table: number for table, number in counts.items() if number}
