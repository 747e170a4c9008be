"""Search by expression, for requests: what cannot be read is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from inngest_celery.engine import expressions, searching
from inngest_celery.server.errors import ApiError


def condition(query: str | None) -> Callable[[Mapping[str, object]], bool] | None:
    """Compile what is searched for; ``None`` if it is nothing.

    Raises:
        ApiError: it cannot be read.
    """
    try:
        return searching.condition(query)
    except expressions.ExpressionError as error:
        raise ApiError(400, f"query: {error}", code=error.code) from error
