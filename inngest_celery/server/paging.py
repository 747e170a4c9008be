"""Cursors: where a page ended, in a form that says nothing to whoever passes it on."""

from __future__ import annotations

import base64
import binascii
import json

from inngest_celery.server.errors import ApiError


def write_cursor(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def read_cursor(cursor: str, *kinds: type) -> list[object]:
    """Read a cursor that has parts of these kinds.

    Raises:
        ApiError: it is none.
    """
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, binascii.Error):
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise ApiError(400, "this cursor is not one that a page ended with", code="invalid_cursor")
    return parts


def read_position(cursor: str | None) -> tuple[int, str] | None:
    """Read where a page of runs ended: a time and a run's id.

    Raises:
        ApiError: it is no such cursor.
    """
    if not cursor:
        return None
    at, run_id = read_cursor(cursor, int, str)
    assert isinstance(at, int)
    return at, str(run_id)
