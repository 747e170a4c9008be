"""What Celery code was given, or gives, as JSON has it: not all of it is JSON, and telling of it must not fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def plain(value: object, text: Callable[[object], str] = repr) -> Any:
    """Give a value as JSON has it.

    Args:
        text: gives the text of what JSON lacks. Where that is not enough, a key say, it is the text of the whole value.

    Example:
        >>> plain({"at": {1}, "n": (1, None)})
        {'at': '{1}', 'n': [1, None]}
    """
    try:
        written = json.dumps(value, default=text, allow_nan=False, ensure_ascii=False)
        # Half of a surrogate pair is nothing that a database takes.
        return json.loads(written.encode(errors="replace"))
    except (TypeError, ValueError, RecursionError):
        return text(value)
