"""Transactions that a database gave up because of another one are done again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from sqlalchemy import exc

P = ParamSpec("P")
T = TypeVar("T")

TIMES = 5
_PAUSE_S = 0.02
# Deadlock and failed serialisation, as each database says it; with MySQL and SQLite also a lock that was waited for too
# long. Locks are taken in one order, but an index has locks of its own, which MySQL takes as it likes.
_POSTGRESQL = ("40P01", "40001")
_MYSQL = (1213, 1205)
_SQLITE_BUSY = 5


def retried(function: Callable[P, T]) -> Callable[P, T]:
    """Do a function again when the database broke a deadlock at its cost.

    Only for one that does nothing else than one transaction, or nothing else before it: all of it is repeated.

    Raises:
        sqlalchemy.exc.DBAPIError: it happened five times in a row.
    """

    @wraps(function)
    def again(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, TIMES):
            try:
                return function(*args, **kwargs)
            except exc.DBAPIError as error:
                if not is_conflict(error):
                    raise
            pause(attempt)
        return function(*args, **kwargs)

    return again


def pause(attempt: int) -> None:
    """Wait a moment before another attempt: both sides of a deadlock may be here, and are not to meet again."""
    time.sleep(random.uniform(0, _PAUSE_S * attempt))


def is_conflict(error: exc.DBAPIError) -> bool:
    """Tell whether the transaction may succeed if it is done again."""
    return says_conflict(error.orig)


def says_conflict(cause: BaseException | None) -> bool:
    """Tell the same from a driver's own error."""
    if getattr(cause, "sqlstate", None) in _POSTGRESQL:
        return True
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        # The low byte is the code, the rest says more about it.
        return int(code) & 0xFF == _SQLITE_BUSY
    return cause is not None and bool(cause.args) and cause.args[0] in _MYSQL
