"""What retention has deleted, and how far it is behind. The database has the counts, whichever worker did it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from inngest_celery.store import walks
from inngest_celery.store.walks import Walk
from inngest_celery.worker.keeping import ending
from inngest_celery.worker.keeping.plan import plan_of
from inngest_celery.worker.runtime import Runtime


def families(runtime: Runtime, now: int) -> Iterator[Metric]:
    """Give the numbers; where there are no rules, there are none, and nothing is asked.

    Args:
        now: milliseconds.
    """
    if not runtime.settings.retention:
        return
    plan = plan_of(runtime)
    with runtime.database.autocommit() as connection:
        found = {walk.name: walk for walk in walks.all_of(connection)}
    removed: Counter[str] = Counter({ending.RUNS: 0, ending.EVENTS: 0})
    for name, walk in found.items():
        what = name.partition(":")[0]
        if what in removed:
            removed[what] += walk.removed
    family = CounterMetricFamily(
        "inngest_retention_rows_deleted", "Rows that retention has deleted, with runs or as events.", labels=("of",)
    )
    for what, number in sorted(removed.items()):
        family.add_metric((what,), number)
    yield family
    wanted = [(ending.name_of(what, length), length) for what, length in ending.lengths(plan)]
    lag = max((_lag(found.get(name), length, now) for name, length in wanted), default=0)
    text = "For how long the oldest row that retention has not looked at is over its time, or since when it has not."
    yield GaugeMetricFamily("inngest_retention_lag_seconds", text, lag / 1000)


def _lag(walk: Walk | None, length: int, now: int) -> int:
    if walk is None:
        return 0
    if walk.arrived_at is not None:
        return max(now - walk.arrived_at, 0)
    return max(now - length - walk.at, 0) if walk.at >= 0 else max(now - walk.began_at, 0)
