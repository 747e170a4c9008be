"""How somebody in a browser is told that something is not for them: a page, and not JSON."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from inngest_celery.server.access.identity import LogInFirst, wants_page
from inngest_celery.server.errors import ApiError, formed
from inngest_celery.server.rendering import page

_HTMX = "hx-request"


def install(app: FastAPI) -> None:
    """Let an application answer browsers with pages."""

    @app.exception_handler(LogInFirst)
    def to_login(_: Request, error: LogInFirst) -> Response:
        return error.to_page()

    @app.exception_handler(ApiError)
    def refuse(request: Request, error: ApiError) -> Response:
        if error.status == 403 and wants_page(request):
            return page(request, "refused.html", 403, problem=str(error))
        response = formed(request, error)
        if error.status == 401 and _HTMX in request.headers:
            # A part of a page: all of it is to go.
            response.headers["HX-Redirect"] = "/login"
        return response
