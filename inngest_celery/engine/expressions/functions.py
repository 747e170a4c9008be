"""The functions that an expression can call. Each takes and gives JSON values."""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inngest_celery.engine import durations
from inngest_celery.engine.expressions.errors import EvaluationError
from inngest_celery.engine.expressions.values import describe, equals, text

if TYPE_CHECKING:
    from re2 import _Regexp as Pattern  # type: ignore[import-untyped]

MAX_PATTERN = 1_000
"""Characters of a regular expression."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,300}")


@dataclass(frozen=True, slots=True)
class Function:
    """What a name stands for.

    Attributes:
        call: the code; it gets the arguments, and ``now`` in milliseconds after them where ``timed``.
        usage: how to write a call, for messages.
        arity: number of arguments; a method's target counts as one.
        method: written ``target.name()``.
        plain: written ``name()``.
        restrictive: allowed where only simple comparisons are.
        timed: its value depends on the time.
    """

    call: Callable[..., object]
    usage: str
    arity: int = 1
    method: bool = False
    plain: bool = True
    restrictive: bool = False
    timed: bool = False


def size(value: object) -> int:
    if isinstance(value, (str, list, dict)):
        return len(value)
    raise _wrong("size", value, "a text, list or map")


def lowercase(value: object) -> str:
    return _text("lowercase", value).lower()


def uppercase(value: object) -> str:
    return _text("uppercase", value).upper()


def has_part(value: object, part: object) -> bool:
    return _text("contains", part) in _text("contains", value)


def starts_with(value: object, part: object) -> bool:
    return _text("startsWith", value).startswith(_text("startsWith", part))


def ends_with(value: object, part: object) -> bool:
    return _text("endsWith", value).endswith(_text("endsWith", part))


def matches(value: object, pattern: object) -> bool:
    """Say whether the pattern occurs in the text. RE2 takes time linear in the text, whatever the pattern."""
    try:
        return compile_pattern(_text("matches", pattern)).search(_text("matches", value)) is not None
    except UnicodeEncodeError:
        raise EvaluationError("matches(): the text is not valid Unicode") from None


@functools.lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Pattern:
    """Compile a regular expression in RE2's syntax.

    Raises:
        EvaluationError: it is too long or not in RE2's syntax.
    """
    import re2

    if len(pattern) > MAX_PATTERN:
        raise EvaluationError(f"the pattern has {len(pattern)} characters; at most {MAX_PATTERN} are allowed")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options=options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        raise EvaluationError(f"the pattern is not a regular expression that RE2 knows: {reason}") from None


def b64decode(value: object) -> str:
    """Decode standard or URL-safe base 64, padded or not, to text."""
    encoded = _text("b64decode", value).strip().translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        raise EvaluationError("b64decode(): this is not base 64 of UTF-8 text") from None


def json_parse(value: object) -> object:
    try:
        return json.loads(_text("json_parse", value))
    except ValueError:
        raise EvaluationError("json_parse(): this is not JSON") from None


def date(value: object) -> int:
    """Give an instant, written in RFC 3339 or already a number, as milliseconds since 1970."""
    if type(value) in (int, float):
        return _to_int(value)
    try:
        return durations.parse_instant(_text("date", value))
    except ValueError as error:
        raise EvaluationError(f"date(): {error}") from None


def now_plus(value: object, now_ms: int) -> int:
    return now_ms + _duration("now_plus", value)


def now_minus(value: object, now_ms: int) -> int:
    return now_ms - _duration("now_minus", value)


def _duration(name: str, value: object) -> int:
    try:
        return durations.parse_duration(_text(name, value))
    except ValueError as error:
        raise EvaluationError(f"{name}(): {error}") from None


def _to_int(value: object) -> int:
    if type(value) is int:
        return value
    if isinstance(value, float) and abs(value) < 2.0**63:
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    raise _wrong("int", value, "a number, or a text of digits")


def _to_uint(value: object) -> int:
    number = _to_int(value)
    if number < 0:
        raise EvaluationError("uint(): the number is negative")
    return number


def _to_double(value: object) -> float:
    if type(value) in (int, float, str):
        try:
            return float(value)  # type: ignore[arg-type]
        except ValueError:
            pass
    raise _wrong("double", value, "a number, or a text that is one")


def _to_bool(value: object) -> bool:
    for result, word in ((True, "true"), (False, "false")):
        if value is result or equals(value, word):
            return result
    raise _wrong("bool", value, '"true" or "false"')


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise _wrong(name, value, "a text")


def _wrong(name: str, value: object, wanted: str) -> EvaluationError:
    return EvaluationError(f"{name}() takes {wanted}, not {describe(value)}")


FUNCTIONS = {
    "b64decode": Function(b64decode, "b64decode(text)"),
    "bool": Function(_to_bool, "bool(value)"),
    "contains": Function(has_part, 'text.contains("part")', arity=2, method=True, plain=False),
    "date": Function(date, 'date("2030-01-31T00:00:00Z")'),
    "double": Function(_to_double, "double(value)", restrictive=True),
    "endsWith": Function(ends_with, 'text.endsWith("part")', arity=2, method=True, plain=False),
    "int": Function(_to_int, "int(value)", restrictive=True),
    "json_parse": Function(json_parse, "json_parse(text)"),
    "lowercase": Function(lowercase, "lowercase(text)"),
    "matches": Function(matches, 'text.matches("pattern")', arity=2, method=True),
    "now_minus": Function(now_minus, 'now_minus("1h")', timed=True),
    "now_plus": Function(now_plus, 'now_plus("1h")', timed=True),
    "size": Function(size, "size(value)", method=True),
    "startsWith": Function(starts_with, 'text.startsWith("part")', arity=2, method=True, plain=False),
    "string": Function(text, "string(value)"),
    "uint": Function(_to_uint, "uint(value)", restrictive=True),
    "uppercase": Function(uppercase, "uppercase(text)"),
}

SYNONYMS = {
    "b64_decode": "b64decode",
    "downcase": "lowercase",
    "float": "double",
    "includes": "contains",
    "len": "size",
    "length": "size",
    "lower": "lowercase",
    "lowerAscii": "lowercase",
    "str": "string",
    "timestamp": "date",
    "toLowerCase": "lowercase",
    "toUpperCase": "uppercase",
    "upper": "uppercase",
    "upperAscii": "uppercase",
}
"""Names from other languages, with the one to use here."""
