"""Exceptions of user code, described as they are stored and shown."""

from __future__ import annotations

import datetime
import math

from inngest_celery.engine.report import Failure
from inngest_celery.sdk.errors import Error, RetryAfterError, error_object

_MILLISECOND = datetime.timedelta(milliseconds=1)
_MOST_ERROR_TEXT = 65_536


def failure_of(error: BaseException) -> Failure:
    """Describe an exception.

    Example:
        >>> failure_of(KeyError("a")).name
        'KeyError'
    """
    described = error_object(error)
    retry_at = retry_in = None
    # Rounded up: never too early.
    if isinstance(error, RetryAfterError) and error.delay is not None:
        retry_in = math.ceil(error.delay / _MILLISECOND)
    elif isinstance(error, RetryAfterError):
        retry_at = math.ceil(error.retry_after.timestamp() * 1000)
    stack = described["stack"]
    return Failure(
        name=str(described["name"]),
        message=_storable(str(described["message"])),
        stack=None if stack is None else _storable(str(stack)),
        code=str(described["code"]),
        retriable=error.is_retriable if isinstance(error, Error) else True,
        retry_at=retry_at,
        retry_in=retry_in,
    )


def _storable(text: str) -> str:
    """Cut what is too long to be read, and spell out what no database takes: half of a surrogate pair."""
    return text[:_MOST_ERROR_TEXT].encode(errors="backslashreplace").decode()
