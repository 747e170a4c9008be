"""Rows as text, for tests that look for what must not be in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def whole(rows: Iterable[Any]) -> str:
    """Write rows out. A row's own text leaves out the middle of whatever is long."""
    return "\n".join(str(tuple(row)) for row in rows)
