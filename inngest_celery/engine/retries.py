"""Whether and when a failed attempt is repeated."""

from __future__ import annotations

from inngest_celery.engine import backoff
from inngest_celery.engine.report import Failure

DEFAULT_RETRIES = 4


def is_final(failure: Failure, attempt: int, max_attempts: int) -> bool:
    """Tell whether no attempt follows.

    Args:
        failure: what went wrong.
        attempt: the attempt that failed, zero-based.
        max_attempts: retries + 1.

    Example:
        >>> is_final(Failure("ValueError", "no"), 3, 4), is_final(Failure("ValueError", "no"), 0, 4)
        (True, False)
    """
    return not failure.retriable or attempt + 1 >= max_attempts


def retry_at(failure: Failure, attempt: int, now: int, interval_ms: int | None) -> int:
    """Give the time of the next attempt in milliseconds: what the error asks for, else the official table."""
    wanted = failure.retry_in if failure.retry_at is None else failure.retry_at - now
    if wanted is not None:
        return now + min(max(wanted, backoff.MIN_DELAY), backoff.MAX_DELAY)
    return now + backoff.retry_delay_ms(attempt, interval_ms=interval_ms)
