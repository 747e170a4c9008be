"""Where the bars of a run's waterfall stand: everything in shares of its whole time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inngest_celery.engine.durations import duration
from inngest_celery.opcodes import Opcode
from inngest_celery.server.tracing import WAITS, Span

Kind = Literal["queued", "running", "sleeping", "waiting", "retrying", "failed", "completed", "cancelled", "skipped"]

# Seconds, minutes, hours, days: what a scale may count in.
_UNITS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_UNITS_MS = tuple(
    [*_UNITS]
    + [1000 * unit for unit in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200)]
    + [86_400_000 * unit for unit in (1, 2, 5, 10, 20, 50, 100)]
)
_MARKS = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time. ``x`` and ``width`` are percent of the whole."""

    kind: Kind
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a waterfall. ``took`` is milliseconds, all its attempts together; ``None`` if it is not over."""

    span: Span
    bars: list[Bar]

    @property
    def took(self) -> int | None:
        return None if self.span.ended_at is None else self.span.ended_at - _begin(self.span)


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark of the time axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    lines: list[Line]
    marks: list[Mark]


def waterfall_of(root: Span, now: int) -> Waterfall:
    """Lay out a run's trace.

    Args:
        root: the trace.
        now: milliseconds; what is not over lasts until then.
    """
    spans = [root, *sorted(root.children, key=lambda span: (_begin(span), span.ended_at or now))]
    begin = min(_begin(span) for span in spans)
    end = max(root.ended_at or now, *(span.ended_at or begin for span in spans))
    scale = _Scale(begin, max(end - begin, 1), now if root.ended_at is None else end)
    # An attempt at the function's own code is told in the run's line, and one at a step in the step's.
    lines = [Line(span, list(_bars(span, scale))) for span in spans if span is root or span.kind]
    failed = [span for span in spans if span is not root and not span.kind]
    lines[0].bars.extend(scale.bar("failed", span.started_at, span.ended_at, span.name) for span in failed)
    return Waterfall(lines, list(scale.marks()))


def _begin(span: Span) -> int:
    # A step is queued anew for every attempt, and remembers the last time.
    return min(span.queued_at, *(each.queued_at for each in span.children)) if span.children else span.queued_at


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: int
    length: int
    now: int

    def bar(self, kind: Kind, start: int | None, end: int | None, name: str = "") -> Bar:
        first = self.begin if start is None else start
        last = max(self.now if end is None else end, first)
        title = f"{name or kind}: {duration(last - first)}"
        return Bar(kind, self._share(first), round(100 * (last - first) / self.length, 3), title)

    def _share(self, at: int) -> float:
        return round(100 * (at - self.begin) / self.length, 3)

    def marks(self) -> Iterator[Mark]:
        unit = next((unit for unit in _UNITS_MS if self.length / unit <= _MARKS), _UNITS_MS[-1])
        for at in range(0, self.length + 1, unit):
            yield Mark(round(100 * at / self.length, 3), duration(at) if at else "0")


def _bars(span: Span, scale: _Scale) -> Iterator[Bar]:
    """Give what a step was doing, in its order: waiting for a worker, attempts, and the time between them."""
    if not span.kind:
        yield from _of_a_run(span, scale)
    elif span.kind == Opcode.SLEEP.value:
        yield scale.bar("sleeping", span.queued_at, span.ended_at)
    elif span.kind in WAITS:
        yield scale.bar("waiting", span.queued_at, span.ended_at)
    else:
        yield from _of_a_step(span, scale)


def _of_a_run(span: Span, scale: _Scale) -> Iterator[Bar]:
    yield scale.bar("queued", span.queued_at, span.started_at or span.ended_at)
    if span.started_at is not None:
        kind: Kind = "running" if span.ended_at is None else span.status.lower()  # type: ignore[assignment]
        yield scale.bar(kind, span.started_at, span.ended_at)


def _of_a_step(span: Span, scale: _Scale) -> Iterator[Bar]:
    attempts = sorted(span.children, key=lambda each: each.started_at or 0)
    behind = _begin(span)
    between: Kind = "queued"
    for attempt in attempts:
        yield scale.bar(between, behind, attempt.started_at)
        yield scale.bar("failed", attempt.started_at, attempt.ended_at, attempt.name)
        behind, between = attempt.ended_at or behind, "retrying"
    if span.status == "QUEUED":
        yield scale.bar(between, behind, None)
    elif span.ended_at is None:
        yield scale.bar(between, behind, max(span.started_at or behind, behind))
        yield scale.bar("running", max(span.started_at or behind, behind), None)
    elif span.ended_at > behind:
        started = min(max(span.started_at or behind, behind), span.ended_at)
        yield scale.bar(between, behind, started)
        yield scale.bar("failed" if span.status == "FAILED" else "completed", started, span.ended_at)
