"""Durations and instants as text: ``"90s"``, ``"1d12h"``, ``"2030-01-31T00:00:00Z"``. In code they are milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

_UNITS: dict[str, int | Fraction] = {
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
    "us": Fraction(1, 1_000),
    "µs": Fraction(1, 1_000),
    "ns": Fraction(1, 1_000_000),
}
_PART = re.compile(r"(\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(ms|us|µs|ns|w|d|h|m|s)", re.ASCII)
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s*([Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 290 * 365 * 86_400_000


def parse_duration(text: str) -> int:
    """Read a duration and give it in milliseconds, rounded down.

    Args:
        text: numbers with a unit, one or several: ns, us, ms, s, m, h, d, w.

    Raises:
        ValueError: it is not a duration, or one of centuries.

    Example:
        >>> parse_duration("1d12h"), parse_duration("1.5s")
        (129600000, 1500)

    Mirrors the time strings of https://www.inngest.com/docs/features/inngest-functions/steps-workflows/sleeps
    """
    position, total = 0, Fraction(0)
    cleaned = text.strip() if len(text) <= 255 else ""
    while part := _PART.match(cleaned, position):
        total += Fraction(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not cleaned or position != len(cleaned):
        raise ValueError(f'{text[:64]!r} is not a duration: write a number and a unit, such as "30s", "1h30m" or "7d"')
    if total > _LONGEST:
        raise ValueError(f"{text[:64]!r} is too long a duration: at most 290 years are allowed")
    return int(total)


def instant(milliseconds: int) -> str:
    """Write an instant, as RFC 3339 in UTC.

    Example:
        >>> instant(1_700_000_000_123)
        '2023-11-14T22:13:20.123Z'
    """
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(milliseconds: int) -> str:
    """Give a length of time in its two largest units.

    Example:
        >>> duration(12), duration(1_500), duration(61_000), duration(90_000_000)
        ('12 ms', '1.5 s', '1 min 1 s', '1 d 1 h')
    """
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    seconds = milliseconds // 1000
    units = (("d", seconds // 86400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60))
    named = [f"{count} {unit}" for unit, count in units]
    first = next(position for position, (_, count) in enumerate(units) if count)
    return " ".join(named[first : first + 2])


def format_duration(milliseconds: int) -> str:
    """Write a duration in the largest unit that divides it evenly.

    Raises:
        ValueError: it is negative.

    Example:
        >>> format_duration(90_000), format_duration(90_000_000), format_duration(604_800_000)
        ('90s', '25h', '1w')
    """
    if milliseconds < 0:
        raise ValueError(f"a duration cannot be negative, but this one is {milliseconds} ms")
    if milliseconds == 0:
        return "0s"
    unit, size = next((unit, size) for unit, size in _UNITS.items() if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"


def parse_instant(text: str) -> int:
    """Read an RFC 3339 instant and give it in milliseconds since 1970.

    A fraction finer than a millisecond is rounded up, so that nobody wakes too early. Without an offset the time is
    UTC, and without a time it is midnight.

    Raises:
        ValueError: it is not an instant.

    Example:
        >>> parse_instant("1970-01-02T01:00:00+01:00")
        86400000
    """
    problem = f'{text[:64]!r} is not an instant: write it in RFC 3339, such as "2030-01-31T12:00:00Z"'
    match = _INSTANT.fullmatch(text.strip()) if len(text) <= 64 else None
    if match is None:
        raise ValueError(problem)
    day, time, fraction, offset = match.groups()
    zone = "+00:00" if offset in (None, "Z", "z") else offset
    try:
        moment = datetime.fromisoformat(f"{day}T{time or '00:00'}{zone}")
    except ValueError:
        raise ValueError(problem) from None
    thousandths = -(-int(fraction) * 1_000 // 10 ** len(fraction)) if fraction else 0
    return (moment - _EPOCH) // timedelta(milliseconds=1) + thousandths
