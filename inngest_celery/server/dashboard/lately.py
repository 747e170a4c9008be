"""What functions have done in the last day and hour: counted where that has a bound, else estimated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import sqlalchemy as sa

from inngest_celery.server.dashboard.figures import weight_of
from inngest_celery.server.rendering import status_name
from inngest_celery.store import statistics
from inngest_celery.store.rows import RunStatus
from inngest_celery.store.statistics import Tally

_PART_MS = 3_600_000
PARTS = 24
# So many runs of a function are counted, and no more of all together: 20,000, or 50 of each function where there are
# very many. Where that is not all, so many of each hour are read, too. Five million runs make no difference to it.
_MOST_OF_ONE = 2_000
_MOST_OF_ALL = 20_000
_LEAST_OF_ONE = 50
_MOST_OF_A_PART = 1_000
# An estimate from fewer than these would say nothing.
_LEAST_FOUND = 10


@dataclass(slots=True)
class Count:
    """The runs of a time.

    Attributes:
        by_status: how many, estimated where ``about`` says so.
        more: whether there are more than were counted.
    """

    by_status: Counter[int] = field(default_factory=Counter)
    more: bool = False
    about: bool = False

    @property
    def runs(self) -> int:
        return sum(self.by_status.values())

    @property
    def failure_rate(self) -> float | None:
        """The share of those that have run to an end of their own; ``None`` if none has."""
        ended = self.by_status[RunStatus.COMPLETED] + self.by_status[RunStatus.FAILED]
        return self.by_status[RunStatus.FAILED] / ended if ended else None

    @property
    def in_words(self) -> str:
        return ", ".join(f"{count:,} {status_name(status).lower()}" for status, count in sorted(self.by_status.items()))


@dataclass(frozen=True, slots=True)
class Lately:
    """What one function has done.

    Attributes:
        by_hour: runs by status in each hour of the day, the oldest first.
    """

    hour: Count
    day: Count
    by_hour: list[Counter[int]]


def lately(connection: sa.Connection, function_ids: Sequence[str], now: int) -> dict[str, Lately]:
    """Look at the last day of functions, with one statement for 200 of them, and one more if there is much to see.

    Args:
        now: milliseconds.
    """
    most = max(min(_MOST_OF_ONE, _MOST_OF_ALL // max(len(function_ids), 1)), _LEAST_OF_ONE)
    # The end is left out, and what was queued just now is to be seen.
    edges = [now + 1 - _PART_MS * number for number in range(PARTS, -1, -1)]
    counted = _by_function(statistics.tallies(connection, function_ids, edges[0], _PART_MS, most))
    sampled: dict[str, list[Tally]] = {}
    weights: list[float] = []
    if any(_runs(each) >= most for each in counted.values()):
        parts = list(pairwise(edges))
        of_all = statistics.tallies_of_all(connection, parts, _MOST_OF_A_PART)
        sampled, weights = _by_function(of_all), _weights(of_all, parts)
    return {each: _of_one(counted.get(each, []), most, sampled.get(each, []), weights) for each in function_ids}


def _of_one(counted: Sequence[Tally], most: int, sampled: Sequence[Tally], weights: Sequence[float]) -> Lately:
    """Take what tells most: a function's own newest runs if those are all, else its share of the runs of all."""
    cut = _runs(counted) >= most
    about = cut and _runs(sampled) >= _LEAST_FOUND
    exact = _by_hour(counted, [1] * PARTS)
    by_hour = _by_hour(sampled, weights) if about else exact
    day = Count(sum(by_hour, Counter()), more=cut and not about, about=about)
    if any(sum(each.values()) for each in exact[:-1]) or not cut:
        # What was counted goes back beyond the last hour.
        return Lately(Count(exact[-1]), day, by_hour)
    return Lately(Count(by_hour[-1], more=day.more, about=about), day, by_hour)


def _by_hour(tallies: Sequence[Tally], weights: Sequence[float]) -> list[Counter[int]]:
    found: list[Counter[int]] = [Counter() for _ in range(PARTS)]
    for tally in tallies:
        part = min(tally.part, PARTS - 1)
        found[part][tally.status] += round(tally.runs * weights[part])
    return found


def _weights(of_all: Sequence[Tally], parts: Sequence[tuple[int, int]]) -> list[float]:
    """Give how many runs each one stands for that was read of a part of the time."""
    weights = []
    for number, (since, until) in enumerate(parts):
        tallies = [tally for tally in of_all if tally.part == number]
        first_at = min((tally.first_at for tally in tallies), default=since)
        weights.append(weight_of(since, until, _runs(tallies), first_at, _MOST_OF_A_PART))
    return weights


def _by_function(tallies: Sequence[Tally]) -> dict[str, list[Tally]]:
    found: dict[str, list[Tally]] = {}
    for tally in tallies:
        found.setdefault(tally.function_id, []).append(tally)
    return found


def _runs(tallies: Sequence[Tally]) -> int:
    return sum(tally.runs for tally in tallies)
