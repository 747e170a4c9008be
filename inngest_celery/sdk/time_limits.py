"""How long the body of a step may take."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import TypeAlias

from inngest_celery.sdk.errors import StepInvalidError

Limit: TypeAlias = float | datetime.timedelta | None


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Both in seconds.

    Attributes:
        hard: then the process that executes the body is killed.
        soft: then ``SoftTimeLimitExceeded`` is raised in the body.
    """

    hard: float | None = None
    soft: float | None = None

    def __bool__(self) -> bool:
        return self.hard is not None or self.soft is not None

    def filled(self, default: TimeLimits) -> TimeLimits:
        """Give these, and the default where they say nothing. A soft limit that the hard one forestalls is none."""
        if not default:
            return self
        hard = default.hard if self.hard is None else self.hard
        soft = default.soft if self.soft is None else self.soft
        return TimeLimits(hard, None if hard is not None and soft is not None and soft >= hard else soft)


UNLIMITED = TimeLimits()


def checked(step_id: str, time_limit: Limit, soft_time_limit: Limit) -> TimeLimits:
    """Read the limits of a step.

    Raises:
        StepInvalidError: one is no length of time above 0, or the soft one is not below the other.

    Example:
        >>> checked("render", datetime.timedelta(minutes=1), 50)
        TimeLimits(hard=60.0, soft=50.0)
    """
    if time_limit is None and soft_time_limit is None:
        return UNLIMITED
    hard, soft = _seconds(step_id, "time_limit", time_limit), _seconds(step_id, "soft_time_limit", soft_time_limit)
    if hard is not None and soft is not None and soft >= hard:
        raise StepInvalidError(
            f'"soft_time_limit" of step "{step_id}" is {soft:g} s, and has to be below its "time_limit" of {hard:g} s'
        )
    return TimeLimits(hard, soft)


def of_options(options: dict[str, object]) -> TimeLimits:
    """Give what a function's ``celery_options`` say for each of its steps."""
    hard, soft = options.get("time_limit"), options.get("soft_time_limit")
    return TimeLimits(
        float(hard) if isinstance(hard, int | float) else None, float(soft) if isinstance(soft, int | float) else None
    )


def _seconds(step_id: str, argument: str, value: Limit) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StepInvalidError(
            f'"{argument}" of step "{step_id}" is seconds or a timedelta, not {type(value).__name__}'
        )
    if not math.isfinite(value) or value <= 0:
        raise StepInvalidError(f'"{argument}" of step "{step_id}" has to be above 0 seconds, not {value}')
    return float(value)
