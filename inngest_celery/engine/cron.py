"""Cron triggers: when one is due, in its own time zone, and by how much each of them is shifted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from inngest_celery.engine.durations import parse_duration

MAX_LENGTH = 255
"""Characters of a cron expression."""
MIN_JITTER, MAX_JITTER = 1_000, 300_000
"""The bounds of a jitter, in milliseconds: 1 s to 5 min."""

_PREFIXES = ("TZ=", "CRON_TZ=")
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# A clock change moves a time of day by less than this.
_CLOCK_CHANGE = 3 * 3_600_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_YEAR = 9_900


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression, read and checked. Made by :func:`parse`.

    A time of day that a clock change skips is due right after it, and one that comes twice is due the first time.
    Expressions that go on all through the day (``*/15 * * * *``) follow the real time instead.

    Attributes:
        source: the text, with its prefix.
        fields: the five fields.
        zone: the time zone that they are in; UTC without a prefix.
    """

    source: str
    fields: str
    zone: tzinfo

    def next_after(self, ms: int) -> int:
        """Give the first time after ``ms`` when the cron is due; both in milliseconds since 1970.

        Raises:
            ValueError: there is none within 50 years.
        """
        # Begun within the time that a clock change repeats, ticks are not those of one who came from before it.
        for moment in self._ticks(ms - _CLOCK_CHANGE):
            if moment > ms:
                return moment
        raise ValueError(f"the cron {self.source!r} is never due")

    def latest_between(self, after_ms: int, until_ms: int) -> int | None:
        """Give the last time after ``after_ms`` and not after ``until_ms`` when the cron was due, or None.

        The work does not grow with the time in between, so it is safe after years of downtime.
        """
        # Backwards, ticks near a clock change are not always those that come forwards: only forwards counts.
        for rough in self._ticks(until_ms + _CLOCK_CHANGE, backwards=True):
            if rough > until_ms:
                continue
            latest = self._last_forwards(rough - _CLOCK_CHANGE, until_ms)
            if latest is not None or rough <= after_ms:
                return latest if latest is not None and latest > after_ms else None
        return None

    def _last_forwards(self, start: int, until: int) -> int | None:
        latest = None
        for moment in self._ticks(start):
            if moment > until:
                break
            latest = moment
        return latest

    def _ticks(self, start: int, *, backwards: bool = False) -> Iterator[int]:
        for moment in CronSim(self.fields, _to_datetime(start, self.zone), reverse=backwards):
            yield _to_ms(moment)


def parse(cron: str) -> Cron:
    """Read a cron expression.

    Args:
        cron: minute, hour, day of month, month and day of week; ``TZ=Europe/Paris`` may stand in front.

    Raises:
        ValueError: it is not one, or it is never due.

    Example:
        >>> parse("TZ=Europe/Paris 30 9 * * MON-FRI").next_after(1_893_456_000_000) / 1000
        1893486600.0

    Mirrors https://www.inngest.com/docs/guides/scheduled-functions
    """
    if len(cron) > MAX_LENGTH:
        raise ValueError(f"the cron has {len(cron)} characters; at most {MAX_LENGTH} are allowed")
    first, _, rest = cron.strip().partition(" ")
    prefix = next((prefix for prefix in _PREFIXES if first.startswith(prefix)), None)
    zone = UTC if prefix is None else _zone(first.removeprefix(prefix))
    fields = " ".join((cron if prefix is None else rest).split())
    _check_shape(fields)
    result = Cron(cron, fields.replace("?", "*"), zone)
    try:
        result.next_after(0)
    except CronSimError as error:
        raise ValueError(f"{fields!r} is not a cron: {str(error).lower()}; write such as {_USAGE}") from None
    return result


_USAGE = '"30 9 * * MON-FRI" (minute, hour, day of month, month, day of week)'


def _check_shape(fields: str) -> None:
    if fields.startswith("@"):
        same = _DESCRIPTORS.get(fields.lower())
        raise ValueError(f'{fields!r} is not a cron: write five fields, such as "{same or "*/5 * * * *"}" instead')
    if (count := len(fields.split())) != 5:
        raise ValueError(f"{fields!r} has {count} fields, but a cron has 5: write such as {_USAGE}")


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'{name!r} is not a time zone: write its IANA name, such as "Europe/Paris"') from None


def jitter_ms(key: str, jitter: str | None) -> int:
    """Give how much later than its due time a cron fires, in milliseconds: always the same for the same key.

    Args:
        key: what names this cron, such as the function's id and the expression.
        jitter: the longest shift, ``"1s"`` to ``"5m"``; None for no shift at all.

    Raises:
        ValueError: the jitter is not a duration, or out of bounds.

    Example:
        >>> jitter_ms("app-report", None), 1_000 <= jitter_ms("app-report", "30s") < 30_000
        (0, True)
    """
    if jitter is None:
        return 0
    longest = parse_duration(jitter)
    if not MIN_JITTER <= longest <= MAX_JITTER:
        raise ValueError(f'the jitter {jitter!r} is out of bounds: write one from "1s" to "5m"')
    number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
    return MIN_JITTER + (number % (longest - MIN_JITTER) if longest > MIN_JITTER else 0)


def _to_datetime(ms: int, zone: tzinfo) -> datetime:
    moment = _EPOCH + timedelta(milliseconds=ms)
    if not 1 < moment.year < _LAST_YEAR:
        raise ValueError(f"{ms} ms is not a time of this age")
    return moment.astimezone(zone)


def _to_ms(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
