"""Pages, from templates. They work without JavaScript, and stand in no other site's frames."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.requests import HTTPConnection

from inngest_celery.server.access.identity import person_of

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'; form-action 'self'; base-uri 'none'; object-src 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def page(request: HTTPConnection, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """Give a page.

    Args:
        request: for whom.
        template: its file.
        status: of the answer.
        values: what the template shows.
    """
    text = _templates().get_template(template).render(person=person_of(request), request=request, **values)
    return HTMLResponse(text, status, _HEADERS)


@lru_cache
def _templates() -> Environment:
    places = ("inngest_celery.server.access", "inngest_celery.server.dashboard")
    made = Environment(
        loader=ChoiceLoader([PackageLoader(place) for place in places]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters["instant"] = _instant
    return made


def _instant(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "–"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
