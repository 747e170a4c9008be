"""Instants as the HTTP APIs write and read them: RFC 3339, in UTC."""

from __future__ import annotations

from inngest_celery.engine.durations import instant, parse_instant
from inngest_celery.server.errors import ApiError

__all__ = ["instant", "instant_or_none", "read_instant"]


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
