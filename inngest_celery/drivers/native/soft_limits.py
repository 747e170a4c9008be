"""Soft time limits of steps: the body, and nothing else, is interrupted where it is."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from billiard.exceptions import SoftTimeLimitExceeded

logger = logging.getLogger(__name__)

_told = False


@contextmanager
def interrupted_after(seconds: float | None) -> Iterator[None]:
    """Raise ``SoftTimeLimitExceeded`` in the block when it takes longer.

    Python can do so in a process's main thread, as those of the pools prefork and solo are, and while Python code runs
    there. In other threads the block is not interrupted, and a line in the log says so, once.
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        _tell()
        yield
        return

    def interrupt(*_: object) -> NoReturn:
        raise SoftTimeLimitExceeded(f"it took longer than its soft_time_limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


async def awaited(value: Awaitable[object], seconds: float | None) -> object:
    """Await a value; cancel it after so many seconds.

    Raises:
        SoftTimeLimitExceeded: it was cancelled.
    """
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            return await value
    except TimeoutError:
        if scope.expired():
            raise SoftTimeLimitExceeded(f"it took longer than its soft_time_limit of {seconds:g} s") from None
        raise


def _tell() -> None:
    global _told
    if not _told:
        _told = True
        logger.warning(
            "The soft_time_limit of a step that is not async cannot be kept in a pool of threads: its body goes on. "
            "Use the prefork pool, or make the step async.",
            extra={"action": "soft_time_limit_not_kept"},
        )
