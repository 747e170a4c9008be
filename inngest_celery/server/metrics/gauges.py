"""What there is now: runs, jobs, waits, the sweep, apps. Read when it is asked for, and nothing is kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric

from inngest_celery.store import apps, census, functions, leases
from inngest_celery.store.apps import AppRow
from inngest_celery.store.census import JobCount, JobState
from inngest_celery.store.functions import FunctionRow
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runtime import Runtime
from inngest_celery.worker.sweeper import held_ms

_AT_MOST = f"at most {census.MOST} are counted"
_TO_BE_DONE = (JobState.DUE, JobState.LIMITED)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the database says, as of ``now``; times are milliseconds.

    Attributes:
        sleeping, waiting: of the runs that have started, those that do nothing now.
        next_sweep_at: when the next job should be looked at by a sweep.
        swept_until: when the sweep's lease runs out; ``None`` if nobody has it.
    """

    now: int
    runs: Mapping[RunStatus, int]
    sleeping: int
    waiting: int
    jobs: Sequence[JobCount]
    waits: Mapping[str, int]
    next_sweep_at: int | None
    swept_until: int | None
    apps: Sequence[AppRow]
    functions: Sequence[FunctionRow]


def look(runtime: Runtime) -> Snapshot:
    """Read it all, in as many statements whatever there is."""
    now = runtime.clock.now()
    with runtime.database.autocommit() as connection:
        sleeping, waiting = census.resting(connection, now)
        return Snapshot(
            now=now,
            runs=census.runs(connection),
            sleeping=sleeping,
            waiting=waiting,
            jobs=census.jobs(connection, now),
            waits=census.waits(connection),
            next_sweep_at=census.next_sweep_at(connection),
            swept_until=leases.until(connection, leases.SWEEP),
            apps=apps.all_of(connection),
            functions=[row for row in functions.all_of(connection) if row.archived_at is None],
        )


def families(snapshot: Snapshot, runtime: Runtime) -> Iterator[Metric]:
    """Give what a snapshot says in the form of Prometheus."""
    yield _runs(snapshot)
    yield from _jobs(snapshot)
    yield _family("inngest_waits", f"Open waits by kind; {_AT_MOST}.", ("kind",), snapshot.waits.items())
    yield from _sweep(snapshot, runtime)
    failing = sum(app.error is not None for app in snapshot.apps)
    counts = {"ok": len(snapshot.apps) - failing, "error": failing}
    yield _family("inngest_apps", "Apps by whether their last registration worked.", ("state",), counts.items())
    paused = sum(row.paused is not None for row in snapshot.functions)
    counts = {"active": len(snapshot.functions) - paused, "paused": paused}
    yield _family("inngest_functions", "Functions by whether they take new runs.", ("state",), counts.items())


def _runs(snapshot: Snapshot) -> Metric:
    running, resting = snapshot.runs.get(RunStatus.RUNNING, 0), snapshot.sleeping + snapshot.waiting
    counts = {
        "scheduled": snapshot.runs.get(RunStatus.SCHEDULED, 0),
        # Counted by other statements, between which a run may have gone on.
        "running": max(running - resting, 0),
        "sleeping": snapshot.sleeping,
        "waiting": snapshot.waiting,
    }
    text = f"Runs that have not ended. Those that wait for another attempt are sleeping; {_AT_MOST}."
    return _family("inngest_runs", text, ("status",), counts.items())


def _jobs(snapshot: Snapshot) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "inngest_jobs", f"Jobs by queue, kind and state; {_AT_MOST}.", labels=("queue", "kind", "state")
    )
    wanted: Counter[str] = Counter()
    oldest: dict[str, int] = {}
    for each in snapshot.jobs:
        family.add_metric((each.queue, each.kind.value, each.state.value), each.count)
        if each.state in _TO_BE_DONE:
            wanted[each.queue] += each.count
        if each.state is JobState.DUE:
            oldest[each.queue] = min(each.due_at, oldest.get(each.queue, each.due_at))
    yield family
    yield GaugeMetricFamily("inngest_queue_depth", f"Jobs that are due and in no worker; {_AT_MOST}.", wanted.total())
    yield _family("inngest_queue_jobs", f"The same by queue; {_AT_MOST}.", ("queue",), sorted(wanted.items()))
    late = max((snapshot.now - due_at for due_at in oldest.values()), default=0)
    text = "How long the job has waited for a worker that was due first, limits apart."
    yield GaugeMetricFamily("inngest_queue_wait_seconds", text, late / 1000)
    timers = sum(each.count for each in snapshot.jobs if each.state is JobState.LATER)
    yield GaugeMetricFamily("inngest_timers", f"Jobs whose time has not come; {_AT_MOST}.", timers)


def _sweep(snapshot: Snapshot, runtime: Runtime) -> Iterator[Metric]:
    next_at, until = snapshot.next_sweep_at, snapshot.swept_until
    lag = 0 if next_at is None else max(snapshot.now - next_at, 0)
    text = "How long ago the first job should have been looked at by a sweep."
    yield GaugeMetricFamily("inngest_sweep_lag_seconds", text, lag / 1000)
    age = math.inf if until is None else max(snapshot.now - until + held_ms(runtime.settings), 0) / 1000
    text = "How long ago a worker has begun to sweep; +Inf if none does."
    yield GaugeMetricFamily("inngest_sweep_age_seconds", text, age)


def _family(name: str, text: str, labels: Sequence[str], counts: Iterable[tuple[str, int]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for value, count in counts:
        family.add_metric((value,), count)
    return family
