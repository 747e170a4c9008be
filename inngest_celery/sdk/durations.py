"""Lengths of time: what users write (milliseconds or a timedelta) and what stands on the wire ("90s", "25h")."""

from __future__ import annotations

import datetime
import math
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

_UNITS = (("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000))

SECOND = 1000
DAY = 86_400_000
LONGEST = 366 * DAY
"""The longest sleep or wait that Inngest allows."""


def milliseconds(value: int | datetime.timedelta) -> int:
    """Give a length of time in whole milliseconds, rounded up so that nothing wakes early.

    Example:
        >>> milliseconds(datetime.timedelta(microseconds=1500))
        2
    """
    if isinstance(value, datetime.timedelta):
        return math.ceil(value / datetime.timedelta(milliseconds=1))
    return value


def to_text(ms: int) -> str:
    """Write milliseconds in the largest unit that divides them.

    Example:
        >>> to_text(90_000), to_text(604_800_000), to_text(1500)
        ('90s', '1w', '1500ms')
    """
    for unit, size in _UNITS:
        if ms >= size and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


def _whole_seconds(value: object) -> int | datetime.timedelta:
    if not isinstance(value, int | datetime.timedelta) or isinstance(value, bool):
        problem = "Input should be a valid integer (milliseconds) or a timedelta"
    elif milliseconds(value) < SECOND:
        problem = "duration must be at least 1 second. Give milliseconds as an int, or a timedelta"
    elif milliseconds(value) % SECOND or _has_fraction(value):
        problem = "duration must be a whole number of seconds"
    else:
        return value
    raise PydanticCustomError("duration_invalid", "{problem}", {"problem": problem})


def _has_fraction(value: int | datetime.timedelta) -> bool:
    return isinstance(value, datetime.timedelta) and value.microseconds != 0


Duration = Annotated[
    int | datetime.timedelta,
    PlainValidator(_whole_seconds),
    PlainSerializer(lambda value: to_text(milliseconds(value)), return_type=str),
]
"""A length of time in a function's options: milliseconds or a timedelta, at least one second, whole seconds."""
