"""What values mean in an expression: equality, order, truth and arithmetic.

This is where Inngest's expressions differ from plain CEL. A missing field reads as ``MISSING``, never as an error;
truth is JavaScript's; whole and decimal numbers compare with each other.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from inngest_celery.engine.expressions.errors import EvaluationError


class _Missing:
    """The type of :data:`MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What a path gives that leads nowhere. It equals null, and differs from null in order and in calls."""

MAX_SIZE = 1_000_000
"""Characters of a text, or items of a list, that an expression may put together."""

_SCALARS = frozenset((str, int, float, bool))
_NUMBERS = frozenset((int, float))
_MAX_BITS = 1024
Sized = TypeVar("Sized", str, list[object])


def truthy(value: object) -> bool:
    """Say whether JavaScript would count the value as true: all but null, missing, false, 0, NaN and ""."""
    if isinstance(value, (list, Mapping)):
        return True
    return bool(value) and value is not MISSING and value == value


def equals(left: object, right: object) -> bool:
    """Compare two values; missing equals null, 1 equals 1.0, and true does not equal 1."""
    kind, other = type(left), type(right)
    if kind is other and kind in _SCALARS:
        return left == right
    if kind in _NUMBERS and other in _NUMBERS:
        return left == right
    if left is None or left is MISSING:
        return right is None or right is MISSING
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equals, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equals(left[key], right[key]) for key in left)
    return False


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ZERO: dict[type, object] = {str: "", int: 0, float: 0, bool: False}


def comparison(symbol: str) -> Callable[[object, object], bool]:
    """Give the function for ``<``, ``<=``, ``>`` or ``>=``.

    A missing left side is below everything, a missing right side is below everything but that; null counts as the
    other side's zero value.
    """
    compare = _ORDERS[symbol]
    missing_left = symbol in ("<", "<=")

    def ordered(left: object, right: object) -> bool:
        kind, other = type(left), type(right)
        if (kind in _NUMBERS and other in _NUMBERS) or (kind is other and kind in _SCALARS):
            return compare(left, right)
        if left is MISSING:
            return missing_left
        if right is MISSING:
            return not missing_left
        if left is None and right is None:
            return compare(0, 0)
        if left is None and other in _ZERO:
            return compare(_ZERO[other], right)
        if right is None and kind in _ZERO:
            return compare(left, _ZERO[kind])
        raise EvaluationError(f"{describe(left)} {symbol} {describe(right)}: these two have no order")

    return ordered


def item(value: object, key: object) -> object:
    """Read ``value[key]``; whatever is not there is missing."""
    if isinstance(value, Mapping):
        return value.get(key, MISSING) if type(key) is str else MISSING
    if isinstance(value, list) and type(key) in _NUMBERS and 0 <= key < len(value) and key == int(key):  # type: ignore[operator, call-overload]
        return value[int(key)]  # type: ignore[call-overload]
    return MISSING


def contains(value: object, container: object) -> bool:
    """Say whether ``value in container``: an item of a list or a key of a map."""
    if value is MISSING or container is MISSING:
        return False
    if isinstance(container, list):
        return any(equals(value, other) for other in container)
    if isinstance(container, Mapping):
        return type(value) is str and value in container
    raise EvaluationError(f"{describe(value)} in {describe(container)}: only a list or a map contains things")


def add(left: object, right: object) -> object:
    """Add numbers, join texts and lists; a missing or null side leaves the other as it is."""
    if left is MISSING or left is None:
        return left if right is MISSING else right
    if right is MISSING or right is None:
        return left
    kind, other = type(left), type(right)
    if kind in _NUMBERS and other in _NUMBERS:
        return bounded(left + right)  # type: ignore[operator]
    if (kind is str and (other is str or other in _NUMBERS)) or (other is str and kind in _NUMBERS):
        return sized(text(left) + text(right))
    if isinstance(left, list) and isinstance(right, list):
        return sized(left + right)
    raise EvaluationError(f"{describe(left)} + {describe(right)}: these two do not add up; convert one with string()")


def arithmetic(symbol: str) -> Callable[[object, object], object]:
    """Give the function for ``-``, ``*``, ``/`` or ``%``; false where a side is missing.

    Whole numbers divide to a whole number, rounded towards zero, as CEL does.
    """
    calculate = _CALCULATIONS[symbol]

    def calculated(left: object, right: object) -> object:
        if left is MISSING or right is MISSING:
            return False
        if type(left) not in _NUMBERS or type(right) not in _NUMBERS:
            raise EvaluationError(f"{describe(left)} {symbol} {describe(right)}: both must be numbers")
        return bounded(calculate(left, right))

    return calculated


def negative(value: object) -> object:
    """Give ``-value``; false where it is missing."""
    if value is MISSING:
        return False
    if type(value) not in _NUMBERS:
        raise EvaluationError(f"-{describe(value)}: only a number can be negative")
    return -value  # type: ignore[operator]


def _divide(left: float, right: float) -> float:
    if right == 0:
        raise EvaluationError("division by zero")
    if isinstance(left, int) and isinstance(right, int):
        return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return left / right


def _remainder(left: float, right: float) -> float:
    if right == 0 or math.isinf(left):
        raise EvaluationError("division by zero")
    if isinstance(left, int) and isinstance(right, int):
        return left - right * int(_divide(left, right))
    return math.fmod(left, right)


_CALCULATIONS: dict[str, Callable[[Any, Any], float]] = {
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _remainder,
}


def bounded(number: float) -> float:
    """Give the number back, unless it is absurdly large."""
    if isinstance(number, int) and number.bit_length() > _MAX_BITS:
        raise EvaluationError("the number is too large")
    return number


def sized(value: Sized) -> Sized:
    """Give the text or list back, unless it is absurdly long."""
    if len(value) > MAX_SIZE:
        raise EvaluationError(f"the result has {len(value)} parts; at most {MAX_SIZE} are allowed")
    return value


def text(value: object) -> str:
    """Write a text, number or bool as text; a whole number never has a decimal point.

    Raises:
        EvaluationError: it is none of these.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    if isinstance(value, int):
        return str(bounded(value))
    raise EvaluationError(f"string({describe(value)}): only text, numbers and bools can be written as text")


def describe(value: object) -> str:
    """Name the kind of a value, for messages."""
    if value is None or value is MISSING:
        return "null"
    names: dict[type, str] = {bool: "a bool", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "a map")
