"""Counters and histograms of runs that have started and ended, counted from the database.

Why not in the workers? They are many processes (prefork), they are killed, and each would have to be scraped, or to
keep files for the others; a run may be cancelled where no worker is. The database has each start and each end once,
whoever did it, and an index gives those since the last look. So the numbers do not depend on how many workers there
are, or on which of them died. What that means for whoever reads them:

* They begin at 0 with the server, as Prometheus' ``rate()`` and ``increase()`` expect it. What ends while no server
  runs is not counted.
* Each server counts everything: of several take the ``max``, not the ``sum``.
* They are :data:`BEHIND_MS` behind, so that a transaction that takes its time to commit is not missed.
* A run's steps and failed attempts are counted when the run has ended, and a run as scheduled when it starts, or is
  cancelled or skipped without a start.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from inngest_celery.opcodes import Opcode
from inngest_celery.store import tally
from inngest_celery.store.rows import RunStatus
from inngest_celery.store.tally import BUCKETS_MS, Passed, Position
from inngest_celery.worker.runtime import Runtime

BEHIND_MS = 10_000
# So much is read at a time; the rest is counted at the next one.
_PAGE, _PAGES = 1000, 10
_ENDS = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.SKIPPED)
# Steps for which code was called, or a request was made.
_CALLS = frozenset({Opcode.STEP_RUN.value, Opcode.GATEWAY.value, Opcode.AI_GATEWAY.value})
_SUCCESS, _ERRORED, _FAILED = "success", "errored", "failed"


@dataclass(slots=True)
class _Durations:
    """A histogram of durations of one function; the buckets are not added up."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_MS) + 1))
    total_ms: int = 0

    def observe(self, ms: int) -> None:
        # Two machines' clocks may have told when it began and when it ended.
        ms = max(ms, 0)
        self.buckets[bisect_left(BUCKETS_MS, ms)] += 1
        self.total_ms += ms

    def add(self, within: Sequence[int], count: int, total_ms: int) -> None:
        below = 0
        for place, each in enumerate((*within, count)):
            self.buckets[place] += each - below
            below = each
        self.total_ms += total_ms

    def cumulated(self) -> list[tuple[str, float]]:
        bounds = [str(bound / 1000) for bound in BUCKETS_MS] + ["+Inf"]
        return [(bound, float(sum(self.buckets[: place + 1]))) for place, bound in enumerate(bounds)]


class Counters:
    """Counts what has started and ended since it was made.

    Args:
        runtime: whose runs; its database is not looked for before it is needed.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._guard = threading.Lock()
        self._started_to = self._ended_to = Position(runtime.clock.now())
        self._behind_ms = 0
        self._scheduled: Counter[tuple[str, ...]] = Counter()
        self._started: Counter[tuple[str, ...]] = Counter()
        self._ended: Counter[tuple[str, ...]] = Counter()
        self._steps: Counter[tuple[str, ...]] = Counter()
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._waited: dict[str, _Durations] = {}
        self._lasted: dict[str, _Durations] = {}
        self._steps_took: dict[str, _Durations] = {}

    def collect(self, now: int, function_ids: Iterable[str]) -> list[Metric]:
        """Count on, and give all numbers.

        Args:
            now: milliseconds.
            function_ids: functions that have a 0 if nothing has happened yet: a rate needs something to rise from.
        """
        # Two scrapes at once must not count the same runs.
        with self._guard:
            self._begin(function_ids)
            self._count_on(now - BEHIND_MS)
            return list(self._families())

    def _begin(self, function_ids: Iterable[str]) -> None:
        for function_id in function_ids:
            self._scheduled[function_id,] += 0
            self._started[function_id,] += 0
            for end in _ENDS:
                self._ended[function_id, end.name.lower()] += 0
            for how in (_SUCCESS, _ERRORED, _FAILED):
                self._calls[function_id, how] += 0

    def _count_on(self, until: int) -> None:
        starts_done = any(not self._count_starts(until) for _ in range(_PAGES))
        ends_done = any(not self._count_ends(until) for _ in range(_PAGES))
        reached = ((starts_done, self._started_to), (ends_done, self._ended_to))
        self._behind_ms = max(0 if done else until - position.at for done, position in reached)

    def _count_starts(self, until: int) -> bool:
        """Count a page; false if it was the last one."""
        with self._runtime.database.autocommit() as connection:
            page = tally.started(connection, self._started_to, until, _PAGE)
        for run in page:
            assert run.started_at is not None
            self._scheduled[run.function_id,] += 1
            self._started[run.function_id,] += 1
            _of(self._waited, run.function_id).observe(run.started_at - run.created_at)
            self._started_to = Position(run.started_at, run.id)
        return len(page) == _PAGE

    def _count_ends(self, until: int) -> bool:
        """Count a page; false if it was the last one. All of it is read before any of it counts."""
        with self._runtime.database.autocommit() as connection:
            page = tally.ended(connection, self._ended_to, until, _PAGE)
            # A run that was skipped has done nothing.
            ids = [run.id for run in page if run.status is not RunStatus.SKIPPED]
            steps = tally.steps(connection, ids) if ids else []
            attempts = tally.failed_attempts(connection, ids) if ids else []
        for run in page:
            self._count_end(run)
        for step in steps:
            self._steps[step.function_id, step.op, "failed" if step.failed else "completed"] += step.count
            if step.op in _CALLS:
                _of(self._steps_took, step.function_id).add(step.within, step.count, step.total_ms)
                self._calls[step.function_id, _SUCCESS] += 0 if step.failed else step.count
        for attempt in attempts:
            self._calls[attempt.function_id, _ERRORED if attempt.retried else _FAILED] += attempt.count
        return len(page) == _PAGE

    def _count_end(self, run: Passed) -> None:
        assert run.ended_at is not None
        self._ended[run.function_id, run.status.name.lower()] += 1
        self._ended_to = Position(run.ended_at, run.id)
        if run.started_at is None:
            self._scheduled[run.function_id,] += 1
        else:
            _of(self._lasted, run.function_id).observe(run.ended_at - run.started_at)
        if run.status is RunStatus.COMPLETED:
            # The call that has given the output.
            self._calls[run.function_id, _SUCCESS] += 1

    def _families(self) -> Iterator[Metric]:
        made: Counter[tuple[str, ...]] = Counter()
        for (function_id, _), count in self._calls.items():
            made[function_id,] += count
        fn = ("fn",)
        yield _family("inngest_function_run_scheduled", "Runs that have come to start, or not to.", fn, self._scheduled)
        yield _family("inngest_function_run_started", "Runs that have started.", fn, self._started)
        yield _family("inngest_function_run_ended", "Runs that have ended.", ("fn", "status"), self._ended)
        text = "Attempts at steps and functions, of runs that have ended"
        yield _family("inngest_sdk_req_scheduled", f"{text}.", fn, made)
        yield _family("inngest_sdk_req_started", f"{text}.", fn, made)
        text += ": errored ones were repeated, failed ones were the last."
        yield _family("inngest_sdk_req_ended", text, ("fn", "status"), self._calls)
        text = "Steps of runs that have ended, by operation."
        yield _family("inngest_steps", text, ("fn", "op", "status"), self._steps)
        yield _histogram("inngest_run_queue_wait_seconds", "From a run's creation to its start.", self._waited)
        yield _histogram("inngest_run_duration_seconds", "From a run's start to its end.", self._lasted)
        text = "How long the last attempt at a step took that executes code, of runs that have ended."
        yield _histogram("inngest_step_duration_seconds", text, self._steps_took)
        text = "How far counters are behind because there was more to count than one look may read."
        yield GaugeMetricFamily("inngest_counters_behind_seconds", text, self._behind_ms / 1000)


def _of(durations: dict[str, _Durations], function_id: str) -> _Durations:
    return durations.setdefault(function_id, _Durations())


def _family(
    name: str,
    text: str,
    labels: Sequence[str],
    counts: Counter[tuple[str, ...]],
) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family


def _histogram(name: str, text: str, durations: dict[str, _Durations]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=("fn",))
    for function_id, each in sorted(durations.items()):
        family.add_metric((function_id,), each.cumulated(), each.total_ms / 1000)
    return family
