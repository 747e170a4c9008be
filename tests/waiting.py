"""Wait for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    timeout: float = 60.0,
    message: str | Callable[[], str] = "the condition",
    *,
    every: float = 0.01,
) -> T:
    """Ask again and again until the answer is true, and give that answer. Times are seconds.

    Raises:
        AssertionError: it was not true in time; says what was waited for (``message``) and the last answer.

    Example:
        >>> wait_until(lambda: 1 + 1, message="arithmetic")
        2
    """
    deadline = time.monotonic() + timeout
    while True:
        last = condition()
        if last:
            return last
        if time.monotonic() > deadline:
            what = message() if callable(message) else message
            raise AssertionError(f"waited {timeout:g} s in vain for {what}; last answer: {last!r}")
        time.sleep(every)
