"""From what was measured to the figures that are shown and written."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.contest import Result

# What issue 2 asks for: at least, or at most, so many times plain Celery's figure.
TARGETS = {"hot": {"steps_ratio": 1.5, "p50_ratio": 1.0}, "slice=0": {"steps_ratio": 0.6, "p50_ratio": 2.0}}


@dataclass(frozen=True)
class Figures:
    """One way on one stack. Ratios are to plain Celery, round by round; times are milliseconds.

    Attributes:
        start_cpu: of sending one run, in the sending process.
        cpu_per_step: by part.
        per_step: statements, commits and messages, sending included.
        reached: whether the targets were, if there are any.
    """

    steps_a_second: float
    steps_ratio: float
    p50: float
    p95: float
    p50_ratio: float
    start_cpu: float
    cpu_per_step: dict[str, float]
    per_step: dict[str, float]
    reached: bool | None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def compare(results: Mapping[str, Result]) -> dict[str, Figures]:
    """Relate each way's results to those of plain Celery, the first of them."""
    base = next(iter(results.values()))
    return {name: _figures(name, result, base) for name, result in results.items()}


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _figures(name: str, result: Result, base: Result) -> Figures:
    # In pairs, so that a busy moment of the machine, which meets both, does not count for one of them.
    bursts = zip(result.steps_a_second, base.steps_a_second, strict=True)
    steps_ratio = statistics.median(mine / theirs for mine, theirs in bursts)
    p50 = statistics.median(result.lone)
    p50_ratio = p50 / statistics.median(base.lone)
    target = TARGETS.get(name)
    parts = result.cpu_per_step[0]
    return Figures(
        steps_a_second=round(statistics.median(result.steps_a_second), 1),
        steps_ratio=round(steps_ratio, 2),
        p50=round(p50, 2),
        p95=round(percentile(result.lone, 0.95), 2),
        p50_ratio=round(p50_ratio, 2),
        start_cpu=round(statistics.median(result.start_cpu), 3),
        cpu_per_step={part: round(statistics.median(each[part] for each in result.cpu_per_step), 3) for part in parts},
        per_step={kind: round(number, 2) for kind, number in result.per_step.items()},
        reached=None if target is None else steps_ratio >= target["steps_ratio"] and p50_ratio <= target["p50_ratio"],
    )
