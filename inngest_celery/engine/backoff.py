"""How long to wait before a failed attempt is made again."""

from __future__ import annotations

import math
import random as _random
import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from inngest_celery.engine.durations import parse_instant

_SECOND = 1_000
_DELAYS = tuple(seconds * _SECOND for seconds in (15, 30, 60, 120, 300, 600, 1_200, 2_400, 3_600, 7_200))
_JITTER = 30 * _SECOND
MIN_DELAY = _SECOND
"""The shortest wait that a ``Retry-After`` can ask for, in milliseconds."""
MAX_DELAY = 24 * 60 * 60 * _SECOND
"""The longest one: a day."""

# Up to this length the text is seconds, beyond it a date.
_SECONDS_LENGTH = 7
_SECONDS = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)


def retry_delay_ms(
    attempt: int, *, interval_ms: int | None = None, random: Callable[[], float] = _random.random
) -> int:
    """Give the wait after a failed attempt, in milliseconds.

    It goes from 15 s to 2 h in ten steps and stays there, plus up to 30 s by chance, so that what failed together does
    not come back together.

    Args:
        attempt: the attempt that failed, counted from 0.
        interval_ms: a constant wait to use instead, in milliseconds.
        random: gives a number from 0 up to, but not including, 1.

    Raises:
        ValueError: the attempt is negative.

    Example:
        >>> retry_delay_ms(0, random=lambda: 0.5)
        30000

    Mirrors https://www.inngest.com/docs/features/inngest-functions/error-retries/retries
    """
    if attempt < 0:
        raise ValueError(f"attempts are counted from 0, so {attempt} is none")
    if interval_ms is not None:
        return interval_ms
    return _DELAYS[min(attempt, len(_DELAYS) - 1)] + int(random() * _JITTER)


def parse_retry_after(text: str, *, now_ms: int) -> int | None:
    """Read a ``Retry-After`` and give the wait in milliseconds, from 1 s to 24 h.

    Args:
        text: seconds in up to 7 characters, or a date: RFC 3339, RFC 1123, RFC 850 or as C's ``asctime`` writes it.
        now_ms: the time, in milliseconds since 1970.

    Returns:
        The wait, or None when the text is neither; the ordinary wait applies then.

    Example:
        >>> parse_retry_after("1.5", now_ms=0), parse_retry_after("Thu, 01 Jan 1970 01:00:00 GMT", now_ms=0)
        (1500, 3600000)
    """
    text = text.strip()
    if len(text) <= _SECONDS_LENGTH:
        # Rounded up: a retry may never come earlier than it was asked for.
        delay = math.ceil(float(text) * _SECOND) if _SECONDS.fullmatch(text) else None
    else:
        instant = _instant(text)
        delay = None if instant is None else instant - now_ms
    return None if delay is None else min(max(delay, MIN_DELAY), MAX_DELAY)


def _instant(text: str) -> int | None:
    try:
        return parse_instant(text)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * _SECOND)
