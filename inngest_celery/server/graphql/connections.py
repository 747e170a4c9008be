"""Relay's pages: an edge for each, and where the next page begins."""

from __future__ import annotations

import strawberry

from inngest_celery.server.errors import ApiError

MOST = 400


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


def page_info(cursors: list[str], *, more: bool, after: str | None) -> PageInfo:
    return PageInfo(
        has_next_page=more,
        has_previous_page=after is not None,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


def bounded(first: int) -> int:
    """Give how many a page has.

    Raises:
        ApiError: it is not between one and what is served at once.
    """
    if not 1 <= first <= MOST:
        raise ApiError(400, f"first must be 1 to {MOST}, not {first}", code="invalid_request")
    return first
