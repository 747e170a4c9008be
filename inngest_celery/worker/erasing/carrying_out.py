"""Carrying a plan out: cancel what still runs, then erase or redact, a short transaction at a time."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from inngest_celery.crash import crash_point
from inngest_celery.engine.cancelling import cancel_run
from inngest_celery.engine.durations import instant
from inngest_celery.store import erasures, holds, redacting, related, removing, schema
from inngest_celery.store.conflicts import retried
from inngest_celery.store.erasures import EVENT, HELD, MEMO, RUN, Erasure, Item
from inngest_celery.store.removing import Counts
from inngest_celery.store.rows import Job, JobKind
from inngest_celery.worker import cancelled, hints, holding, results
from inngest_celery.worker.erasing.asking import Show
from inngest_celery.worker.erasing.closure import Closure, closure_of, parts
from inngest_celery.worker.erasing.planning import ErasureError, add, items_of
from inngest_celery.worker.runtime import Runtime

AT_ONCE = 50
_ROUNDS = 20
_POLL_S = 0.2
_MOST_IDS = 1000
_WHY = "its data is erased"


@dataclass(frozen=True, slots=True)
class Erasing:
    """One erasure that is carried out.

    Attributes:
        words: texts that are not to stay in the names of steps, nor in the expressions of mass cancellations.
        wait_s: for how long results may go on being delivered to Celery code that waits for them, in seconds.
        show: is told how many items are done.
    """

    runtime: Runtime
    erasure: Erasure
    words: frozenset[str]
    wait_s: float
    show: Show

    def carry_out(self) -> Erasure:
        """Do all that is left of it, and give it with its receipt.

        Raises:
            ErasureError: something of it still runs, or is still to be delivered (code ``erasure_unfinished``).
            redis.RedisError, OperationalError, OSError: the result backend does not answer.
        """
        if self.erasure.ended_at is not None:
            return self.erasure
        self._settle()
        self._each(RUN, self._end_runs)
        self._each(MEMO, self._end_memos)
        self._each(EVENT, self._end_events)
        return self._finish()

    # What still runs

    def _settle(self) -> None:
        """Cancel what still runs, and add to the plan what comes of that, until nothing more does."""
        give_up_at = time.monotonic() + self.wait_s
        for _ in range(_ROUNDS):
            found = self._closure()
            if found.live or found.pending:
                self._stop(found)
                continue
            undelivered = self._undelivered(found.runs)
            if not undelivered:
                return
            if time.monotonic() > give_up_at:
                raise self._unfinished(f"the results of {undelivered} run(s) are still to be delivered to Celery code")
            time.sleep(_POLL_S)
        raise self._unfinished("more and more runs are started by its events")

    def _closure(self) -> Closure:
        """Find again all that comes of what is planned, and add what is new."""
        with self.runtime.database.autocommit() as connection:
            planned = erasures.items(connection, self.erasure.id)
        of_kind = {kind: {item.subject_id for item in planned if item.kind == kind} for kind in (EVENT, RUN)}
        found = closure_of(self.runtime, of_kind[EVENT], of_kind[RUN])
        known = set(planned)
        add(self.runtime, self.erasure.id, [item for item in items_of(found) if item not in known])
        return found

    def _stop(self, found: Closure) -> None:
        if not self.erasure.cancels:
            raise self._unfinished("some of it runs (again), and it was not said that this is to be cancelled")
        for part in parts(found.live, AT_ONCE):
            due, ended = self._cancel(part)
            for run_id in ended:
                cancelled.tell(self.runtime, run_id)
            hints.publish(self.runtime, due)
        for part in parts(found.pending, AT_ONCE):
            self._stop_routing(part)

    @retried
    def _cancel(self, run_ids: Sequence[str]) -> tuple[list[Job], list[str]]:
        runtime = self.runtime
        due: list[Job] = []
        ended: list[str] = []
        with runtime.database.transaction() as connection:
            for run_id in run_ids:
                told = cancel_run(
                    connection,
                    run_id,
                    _WHY,
                    now=runtime.clock.now(),
                    hint_ms=runtime.settings.hint_timeout_ms,
                    route_queue=runtime.route_queue,
                )
                due += told or []
                ended += [run_id] if told is not None else []
        return due, ended

    @retried
    def _stop_routing(self, event_ids: Sequence[str]) -> None:
        """Let events start nothing more: whoever is routing one now finds its job gone, and has written nothing."""
        job, run, together = schema.job, schema.run, schema.run_event
        started = sa.exists().where(run.c.id == together.c.run_id)
        with self.runtime.database.transaction() as connection:
            connection.execute(sa.delete(job).where(job.c.subject_id.in_(event_ids)))
            connection.execute(sa.delete(together).where(together.c.event_id.in_(event_ids), ~started))

    def _undelivered(self, run_ids: set[str]) -> int:
        job, number = schema.job, 0
        for part in parts(run_ids):
            query = sa.select(sa.func.count()).where(job.c.subject_id.in_(part), job.c.kind == JobKind.DELIVER.value)
            with self.runtime.database.autocommit() as connection:
                number += connection.execute(query).scalar_one()
        return number

    def _unfinished(self, why: str) -> ErasureError:
        return ErasureError(
            "erasure_unfinished",
            f"The erasure {self.erasure.id} is not finished: {why}. Finish it with: erase --resume {self.erasure.id}",
        )

    # Erasing

    def _each(self, kind: str, end: Callable[[Sequence[Item]], None]) -> None:
        done = 0
        while True:
            with self.runtime.database.autocommit() as connection:
                some = erasures.left(connection, self.erasure.id, kind, AT_ONCE)
            if not some:
                return
            if kind == MEMO:
                # Of one run at a time.
                some = [item for item in some if item.subject_id == some[0].subject_id]
            end(some)
            crash_point(f"erasure_{kind}_after_commit")
            done += len(some)
            self.show(done)

    def _end_runs(self, some: Sequence[Item]) -> None:
        run_ids = [item.subject_id for item in some]
        results.forget(self.runtime, run_ids, steps=True)
        held = holding.deleting(self.runtime, lambda: self._end_locked_runs(some))
        if held:
            self._hold_back(held)

    @retried
    def _end_locked_runs(self, some: Sequence[Item]) -> set[str]:
        run_ids = [item.subject_id for item in some]
        now = self.runtime.clock.now()
        with self.runtime.database.transaction() as connection:
            held = set(holding.held(connection, run_ids))
            free = [item for item in some if item.subject_id not in held]
            found = removing.lock_ended(connection, [item.subject_id for item in free], undelivered=True)
            if related.live_of(connection, [item.subject_id for item in free]):
                raise self._unfinished("a run of it has not ended, after all")
            signals = related.signals_of(connection, found)
            if self.erasure.mode == "redact":
                counts = redacting.runs(connection, found, self.words)
            else:
                counts = removing.runs(connection, found, with_costs=True)
            self._forget_signals(connection, signals)
            if free:
                erasures.done(connection, self.erasure.id, free, _some(counts), now)
            crash_point("erasure_before_commit")
        return held

    def _forget_signals(self, connection: sa.Connection, names: set[str]) -> None:
        """Delete the names of signals that nobody waits for any more: a name may be anything."""
        topic, wait = schema.topic, schema.wait
        for name in sorted(names):
            waits = sa.exists().where(wait.c.event_name == name)
            connection.execute(sa.delete(topic).where(topic.c.event_name == name, ~waits))

    def _hold_back(self, run_ids: set[str]) -> None:
        """Take out of the plan what is held since, with the events of it."""
        with self.runtime.database.transaction() as connection:
            kept = removing.started_by(connection, sorted(run_ids))
            kept |= {event_id for run_id in run_ids for event_id in removing.told_of(run_id)}
            for run_id in sorted(run_ids):
                erasures.hold_back(connection, self.erasure.id, Item(RUN, run_id))
            for event_id in sorted(kept):
                erasures.drop(connection, self.erasure.id, Item(EVENT, event_id))

    @retried
    def _end_memos(self, some: Sequence[Item]) -> None:
        run_id = some[0].subject_id
        with self.runtime.database.transaction() as connection:
            removing.lock_ended(connection, [run_id], undelivered=True)
            counts = redacting.memos(connection, run_id, [item.key for item in some])
            erasures.done(connection, self.erasure.id, some, _some(counts), self.runtime.clock.now())

    @retried
    def _end_events(self, some: Sequence[Item]) -> None:
        event_ids = [item.subject_id for item in some]
        with self.runtime.database.transaction() as connection:
            redacts = self.erasure.mode == "redact"
            counts = (redacting if redacts else removing).events(connection, event_ids)
            erasures.done(connection, self.erasure.id, some, _some(counts), self.runtime.clock.now())

    # The end

    @retried
    def _finish(self) -> Erasure:
        runtime, erasure = self.runtime, self.erasure
        now = runtime.clock.now()
        with runtime.database.transaction() as connection:
            counts = erasures.counted(connection, erasure.id)
            removing.add(counts, self._redact_cancellations(connection))
            items = erasures.items(connection, erasure.id)
            active = {hold.id for hold in holds.active(connection)}
            receipt = json.dumps(_receipt(erasure, items, counts, active, now))
            erasures.end(connection, erasure.id, receipt, now)
        with runtime.database.autocommit() as connection:
            ended = erasures.get(connection, erasure.id)
        assert ended is not None
        return ended

    def _redact_cancellations(self, connection: sa.Connection) -> Counts:
        """Take the person out of the expressions by which many runs were cancelled."""
        table, number = schema.cancellation, 0
        for row in connection.execute(sa.select(table.c.id, table.c.expression)).all():
            if row.expression and any(word in row.expression for word in self.words):
                # It is over, or it cancels nothing more: no event says that.
                update = sa.update(table).where(table.c.id == row.id)
                connection.execute(update.values(expression='event.data.redacted == "redacted"'))
                number += 1
        return {table.name: number}


def _some(counts: Counts) -> Counts:
    return {name: number for name, number in counts.items() if number}


def _receipt(
    erasure: Erasure, items: Sequence[Item], counts: Counts, holds_active: set[str], now: int
) -> dict[str, object]:
    """Say what was done. No value of the person's is in it: ids are nobody's data."""
    lines = sorted(f"{item.kind} {item.subject_id} {item.key}".rstrip() for item in items if item.kind != HELD)
    held = sorted(item.subject_id for item in items if item.kind == HELD)
    told: dict[str, object] = {
        "version": 1,
        "erasure": erasure.id,
        "subject_hash": erasure.asked,
        "mode": erasure.mode,
        "by": erasure.created_by,
        "begun_at": instant(erasure.created_at),
        "ended_at": instant(now),
        "rows": dict(sorted(counts.items())),
        "items": len(lines),
        "items_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "held_back": held,
        "holds": sorted(holds_active) if held else [],
    }
    if len(lines) <= _MOST_IDS:
        told["item_ids"] = lines
    return told
