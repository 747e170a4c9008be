"""What a function's runs come to: how many, how many fail, how long they take and wait. Pure numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from inngest_celery.store.rows import RunStatus
from inngest_celery.store.statistics import RunTimes

PERCENTS = (50, 95, 99)
# These have run to an end of their own.
_TOLD = (RunStatus.COMPLETED, RunStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Sample:
    """The runs that were queued in a stretch of time, as far as they were read.

    Attributes:
        since, until: milliseconds.
        times: of those that were read.
        weight: how many runs each of them stands for: more than 1 where not all were read.
    """

    since: int
    until: int
    times: Sequence[RunTimes]
    weight: float

    @property
    def runs(self) -> float:
        return len(self.times) * self.weight

    def of_status(self, status: int) -> float:
        return sum(each.status == status for each in self.times) * self.weight

    def durations(self) -> list[int]:
        """How long runs took from their start to their end, in milliseconds."""
        return [
            each.ended_at - each.started_at
            for each in self.times
            if each.status in _TOLD and each.ended_at is not None and each.started_at is not None
        ]

    def waits(self) -> list[int]:
        """How long runs waited for their start, in milliseconds."""
        return [each.started_at - each.created_at for each in self.times if each.started_at is not None]


@dataclass(frozen=True, slots=True)
class Figures:
    """What several samples come to. Times are milliseconds.

    Attributes:
        read: how many runs were looked at.
        runs: how many there are; an estimate if not ``exact``.
        failure_rate: of those that have run to an end of their own, from 0 to 1; ``None`` if there are none.
        durations, waits: the percentiles of ``PERCENTS``.
    """

    read: int
    runs: float
    exact: bool
    by_status: dict[int, float]
    failure_rate: float | None
    durations: list[int | None]
    waits: list[int | None]


def sample(since: int, until: int, times: Sequence[RunTimes], most: int) -> Sample:
    """Judge what was read of a stretch of time; see :func:`weight_of`.

    Args:
        since, until: milliseconds.
        times: the newest first.
    """
    first_at = times[-1].created_at if times else since
    return Sample(since, until, times, weight_of(since, until, len(times), first_at, most))


def weight_of(since: int, until: int, read: int, first_at: int, most: int) -> float:
    """Give how many runs each one stands for that was read of a stretch of time.

    Where there may be more runs than were read, the newest ``most`` of them, the rest of the time is taken to have been
    as busy as the part that these cover.

    Args:
        since, until: milliseconds.
        read: how many runs were read.
        first_at: when the oldest of these was queued, in milliseconds.

    Example:
        >>> weight_of(0, 60_000, 100, 45_000, 100), weight_of(0, 60_000, 99, 45_000, 100)
        (4.0, 1)
    """
    return max((until - since) / max(until - first_at, 1), 1) if read >= most else 1


def figures_of(samples: Sequence[Sample]) -> Figures:
    """Sum samples up."""
    by_status: Counter[int] = Counter()
    for each in samples:
        for times in each.times:
            by_status[times.status] += each.weight  # type: ignore[assignment]
    ended = sum(by_status[status] for status in _TOLD)
    return Figures(
        read=sum(len(each.times) for each in samples),
        runs=sum(each.runs for each in samples),
        exact=all(each.weight == 1 for each in samples),
        by_status=dict(by_status),
        failure_rate=by_status[RunStatus.FAILED] / ended if ended else None,
        durations=percentiles([(value, each.weight) for each in samples for value in each.durations()]),
        waits=percentiles([(value, each.weight) for each in samples for value in each.waits()]),
    )


def percentiles(values: Sequence[tuple[int, float]]) -> list[int | None]:
    """Give the percentiles of ``PERCENTS`` of values with weights, each of them one of the values.

    Example:
        >>> percentiles([(value, 1) for value in range(1, 101)])
        [50, 95, 99]
        >>> percentiles([(10, 99), (500, 1)]), percentiles([])
        ([10, 10, 10], [None, None, None])
    """
    if not values:
        return [None] * len(PERCENTS)
    ordered = sorted(values)
    sums = list(accumulate(weight for _, weight in ordered))
    found: list[int | None] = []
    for percent in PERCENTS:
        wanted = sums[-1] * percent / 100
        found.append(next(value for (value, _), behind in zip(ordered, sums, strict=True) if behind >= wanted - 1e-9))
    return found
