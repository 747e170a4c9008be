"""What stands in the place of a value that is masked."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Any, Literal

How = Literal["redact", "last4", "hash"]

REDACTED = "[masked]"
# As it is written here, or was before: nothing of it is masked again.
MARK = re.compile(r"\[(?:masked|secret|…[^\[\]]{1,4}|hash:[a-p]{16})\]")
# Letters alone: no digits that a pattern may take for something.
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
# Of fewer, four would be most of it.
_FEWEST = 8


def mark_of(value: Any, how: How, key: bytes | None) -> Any:
    """Give what stands for a value; null, and what is masked already, stay as they are.

    Args:
        value: parsed JSON.
        how: ``redact`` shows nothing, ``last4`` the last four letters or digits of what has at least eight, ``hash``
            the same for equal values.
        key: for ``hash``.

    Example:
        >>> mark_of("4242 4242 4242 4242", "last4", None)
        '[…4242]'
    """
    if value is None or (isinstance(value, str) and MARK.fullmatch(value)):
        return value
    plain = _text_of(value)
    if how == "hash":
        assert key is not None, "the settings have made sure of a key"
        digest = hmac.new(key, plain.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
        return f"[hash:{digest[:16].translate(_LETTERS)}]"
    if how == "last4" and not isinstance(value, dict | list | bool):
        telling = [character for character in plain if character.isalnum()]
        if len(telling) >= _FEWEST:
            return f"[…{''.join(telling[-4:])}]"
    return REDACTED


def _text_of(value: Any) -> str:
    """Write a value so that a number and the text of it are equal."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def outside_marks(text: str, change: Callable[[str], str]) -> str:
    """Change what of a text is not masked already."""
    parts, at = [], 0
    for found in MARK.finditer(text):
        parts += [change(text[at : found.start()]), found[0]]
        at = found.end()
    parts.append(change(text[at:]))
    return "".join(parts)
