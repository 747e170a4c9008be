"""How pages are put together from templates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from urllib.parse import urlencode

from fastapi import Request
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from inngest_celery.engine.durations import duration
from inngest_celery.server import notices
from inngest_celery.server.access.identity import person_of
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import VERSION
from inngest_celery.server.times import instant
from inngest_celery.store.rows import RunStatus

# More of one value than this is no reading matter, and slows the browser down.
_LONGEST = 64 * 1024
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    # For browsers that know no frame-ancestors.
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    # What was seen must not be found in a shared machine's cache after a log-out.
    "cache-control": "no-store",
}


def page(request: Request, template: str, status: int = 200, **values: object) -> Response:
    """Give a page.

    Args:
        template: its file.
        status: the HTTP status.
        values: what the template names.
    """
    notice = notices.read(request)
    shared = {"request": request, "person": person_of(request), "notice": notice, "version": VERSION}
    text = _environment().get_template(template).render(**shared, **values)
    response = HTMLResponse(text, status, _HEADERS)
    if notice is not None:
        notices.clear(response)
    return response


def errors_as_pages(request: Request) -> None:
    """Have what goes wrong with a request told on a page."""
    request.state.as_page = _error_page


def _error_page(request: Request, error: ApiError) -> Response:
    return page(request, "error.html", error.status, text=str(error), code=error.code, error_status=error.status)


def address(path: str, query: Mapping[str, object]) -> str:
    """Give an address with those parameters that say something.

    Example:
        >>> address("/runs", {"status": ["FAILED"], "where": ""})
        '/runs?status=FAILED'
    """
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(f"inngest_celery.server.{place}") for place in ("dashboard", "access")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(when=_when, duration=duration, pretty=_pretty, status=status_name)
    environment.globals["address"] = address
    return environment


def status_name(status: int) -> str:
    """Give the name of a run's status, as pages and addresses have it."""
    return "QUEUED" if status == RunStatus.SCHEDULED else RunStatus(status).name


def _when(milliseconds: int | None) -> str:
    """Write an instant in UTC; scripts put it into the reader's time zone."""
    if milliseconds is None:
        return Markup("<span class=none>–</span>")
    text = instant(milliseconds)
    shown = f"{text[:10]} {text[11:23]}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, text, shown)


def _pretty(text: str | None) -> str:
    """Lay JSON text out for reading; what is none, or too much, stays as it is, up to a limit."""
    if text is None:
        return ""
    if len(text) <= _LONGEST:
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except ValueError:
            return text
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}\n… {len(text) - _LONGEST:,} more characters"
