"""Where the parts of a chart stand: everything in percent of its width and height, for SVG. Pure numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inngest_celery.engine.durations import duration, format_duration

# Between two columns.
_GAP = 0.2
_ROWS = 4
_STEPS = (1, 2, 5)
_TIME_STEPS = tuple(
    [size * 10**power for power in range(3) for size in _STEPS]
    + [1000 * seconds for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800)]
    + [86_400_000 * days for days in (1, 2, 5, 10, 20, 50, 100)]
)


@dataclass(frozen=True, slots=True)
class Column:
    """A rectangle: what it is for, and where it stands."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Slot:
    """What a place on the time axis tells when somebody points at it."""

    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A line, in pieces where something is missing, and dots for what stands alone.

    Attributes:
        pieces: each the ``points`` of a polyline.
    """

    kind: str
    pieces: list[str]
    dots: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark of an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    columns: list[Column] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    rows: list[Mark] = field(default_factory=list)


def stacked(stacks: Sequence[Sequence[tuple[str, float]]], titles: Sequence[str]) -> Chart:
    """Lay out columns of several parts, one upon the other, with an axis that begins at 0.

    Args:
        stacks: for each place its parts, from below: what they are, and how much.
        titles: what each place tells.
    """
    top, rows = _rows(max((_height(stack) for stack in stacks), default=0), _whole_step, lambda value: f"{value:,.0f}")
    return Chart(columns=_columns(stacks, top), slots=_slots(titles), rows=rows)


def curves(series: Sequence[tuple[str, Sequence[int | None]]], titles: Sequence[str]) -> Chart:
    """Lay out lines of times in milliseconds, with an axis that begins at 0.

    Args:
        series: what each line is, and its value at each place; ``None`` where there is none.
        titles: what each place tells.
    """
    highest = max((value for _, values in series for value in values if value is not None), default=0)
    top, rows = _rows(highest, _time_step, lambda value: duration(round(value)))
    return Chart(curves=[_curve(kind, values, top) for kind, values in series], slots=_slots(titles), rows=rows)


def sparkline(stacks: Sequence[Sequence[tuple[str, float]]]) -> list[Column]:
    """Lay out small columns without axes; the highest fills the height."""
    return _columns(stacks, max((_height(stack) for stack in stacks), default=0))


def time_marks(length: int, step: int) -> list[Mark]:
    """Mark a time axis that ends now.

    Args:
        length: of the whole, in milliseconds.
        step: between two marks.

    Example:
        >>> [mark.text for mark in time_marks(3_600_000, 1_200_000)]
        ['−1h', '−40m', '−20m', 'now']
    """
    return [
        Mark(_percent(length - ago, length), f"−{format_duration(ago)}" if ago else "now")
        for ago in range(length // step * step, -1, -step)
    ]


def _columns(stacks: Sequence[Sequence[tuple[str, float]]], top: float) -> list[Column]:
    place, found = 100 / max(len(stacks), 1), []
    for number, stack in enumerate(stacks):
        below = 0.0
        for kind, amount in stack:
            if amount and top:
                height = 100 * amount / top
                x, width = number * place + place * _GAP / 2, place * (1 - _GAP)
                found.append(Column(kind, _round(x), _round(100 - below - height), _round(width), _round(height)))
                below += height
    return found


def _curve(kind: str, values: Sequence[int | None], top: float) -> Curve:
    pieces: list[list[tuple[float, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((_percent(number + 0.5, len(values)), _round(100 - _percent(value, top))))
    return Curve(
        kind,
        [" ".join(f"{x},{y}" for x, y in piece) for piece in pieces if len(piece) > 1],
        [piece[0] for piece in pieces if len(piece) == 1],
    )


def _slots(titles: Sequence[str]) -> list[Slot]:
    return [Slot(_percent(number, len(titles)), _percent(1, len(titles)), title) for number, title in enumerate(titles)]


def _rows(highest: float, step_of: Callable[[float], float], text: Callable[[float], str]) -> tuple[float, list[Mark]]:
    """Choose what the upper edge stands for, and the lines to draw across."""
    if highest <= 0:
        return 0, []
    step = step_of(highest / _ROWS)
    count = -int(-highest // step)
    top = step * count
    return top, [
        Mark(_round(100 - _percent(step * number, top)), text(step * number)) for number in range(1, count + 1)
    ]


def _whole_step(least: float) -> float:
    size = 1
    while True:
        for each in _STEPS:
            if each * size >= least:
                return each * size
        size *= 10


def _time_step(least: float) -> float:
    return next((step for step in _TIME_STEPS if step >= least), least)


def _height(stack: Sequence[tuple[str, float]]) -> float:
    return sum(amount for _, amount in stack)


def _percent(part: float, whole: float) -> float:
    return _round(100 * part / whole) if whole else 0


def _round(value: float) -> float:
    return round(value, 2)
