"""Instants as the HTTP APIs write and read them: RFC 3339, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from inngest_celery.engine.durations import parse_instant
from inngest_celery.server.errors import ApiError


def instant(milliseconds: int) -> str:
    """Write an instant.

    Example:
        >>> instant(1_700_000_000_123)
        '2023-11-14T22:13:20.123Z'
    """
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant_or_none(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else instant(milliseconds)


def read_instant(text: str | None, field: str) -> int | None:
    """Read an instant that a request gives, in milliseconds.

    Raises:
        ApiError: 400.
    """
    if not text:
        return None
    try:
        # In an address a plus is a space, unless somebody has thought of it.
        return parse_instant(text.replace(" ", "+") if "T" in text else text)
    except ValueError as error:
        raise ApiError(400, f"{field}: {error}", code="invalid_field_format") from None
