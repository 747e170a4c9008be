"""A look at the text before it is parsed: sizes, and where each string ends.

The grammar's own pattern for strings takes exponential time on one that never ends, so such text must not reach it.
"""

from __future__ import annotations

import re

from inngest_celery.engine.expressions.errors import ExpressionError

MAX_CODE = 32_768
"""Characters allowed outside strings and comments."""
MAX_LENGTH = 8 * 1024 * 1024
"""Characters allowed in all. A folded expression can carry a part of its event in a string."""

_OPENING = re.compile(r"//[^\n]*|[bB]?([rR]?)(\"\"\"|'''|\"|')")
_ENDS = {quote: re.compile(rf"(?:[^\\{quote}\n]|\\[^\n])*+{quote}") for quote in "\"'"} | {
    quote * 3: re.compile(rf"(?:[^\\{quote}]|\\.|{quote}(?!{quote}{quote}))*+{quote * 3}", re.DOTALL) for quote in "\"'"
}


def check_text(source: str) -> None:
    """Refuse text that is empty, too long, or has a string without an end.

    Raises:
        ExpressionError: ``expression_invalid``.
    """
    if not source.strip():
        raise _invalid("the expression is empty", 'write a condition, such as event.data.status == "paid"')
    code, position = len(source), 0
    if code > MAX_LENGTH:
        raise _invalid(f"the expression has {code} characters", f"at most {MAX_LENGTH} are allowed")
    while opening := _OPENING.search(source, position):
        position = _end_of(source, opening)
        code -= position - opening.start()
    if code > MAX_CODE:
        advice = f"at most {MAX_CODE} are allowed; compute the value in the event's sender instead"
        raise _invalid(f"the expression has {code} characters outside its strings", advice)


def _end_of(source: str, opening: re.Match[str]) -> int:
    raw, quote = opening.groups()
    if quote is None:
        return opening.end()
    if raw:
        end = source.find(quote, opening.end())
        if end > 0 and source[end - 1] == "\\":
            advice = "write the string without the r in front, and each backslash twice"
            raise _invalid("a raw string may not have a backslash before a quote", advice, opening.start())
        if end > 0 and (len(quote) == 3 or "\n" not in source[opening.end() : end]):
            return end + len(quote)
    elif match := _ENDS[quote].match(source, opening.end()):
        return match.end()
    raise _invalid("the string that starts here has no end", f"close it with {quote}", opening.start())


def _invalid(problem: str, advice: str, at: int | None = None) -> ExpressionError:
    return ExpressionError("expression_invalid", problem, advice, at=at)
