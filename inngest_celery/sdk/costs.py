"""What a step says that it has cost."""

from __future__ import annotations

import inspect
import math

from inngest_celery.sdk.errors import CostInvalidError


def check(step_id: str, cost: object) -> None:
    """Refuse, before the step runs, a ``cost=`` that can never be one.

    Raises:
        CostInvalidError: it is neither a number from 0 up nor a plain function.
    """
    if cost is None or (callable(cost) and not inspect.iscoroutinefunction(cost)):
        return
    amount(step_id, cost)


def amount(step_id: str, value: object) -> float:
    """Give a cost as a number.

    Raises:
        CostInvalidError: it is none, or less than 0, or not finite.

    Example:
        >>> amount("ask", 12)
        12.0
    """
    number = _number(value)
    if not (math.isfinite(number) and number >= 0):
        shown = repr(value) if isinstance(value, int | float) else type(value).__name__
        raise CostInvalidError(
            f'the cost of step "{step_id}" is {shown[:60]}; give a number from 0 up, or a plain function of the '
            "step's output that gives one"
        )
    return number


def _number(value: object) -> float:
    # True is 1 to Python, and a mistake here.
    if not isinstance(value, int | float) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
