"""The dashboard: pages that servers render, which work without JavaScript and are kept fresh by a little of it.

A page is a GET; whatever changes something is a POST that ends in a redirect to a page. Nothing is loaded from
elsewhere, and nothing is written into a page that its Content-Security-Policy would have to make room for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

from inngest_celery.server.access import Person, Role, require
from inngest_celery.server.dashboard import (
    apps,
    events,
    failures,
    function,
    function_actions,
    functions,
    live,
    many,
    report,
    run,
    runs,
    workers,
)
from inngest_celery.server.dashboard.live import Live as Live
from inngest_celery.server.rendering import errors_as_pages
from inngest_celery.worker.inspection import Inspection

_STATIC = Path(__file__).with_name("static")

router = APIRouter(include_in_schema=False, dependencies=[Depends(errors_as_pages), Depends(require(Role.VIEWER))])
for _part in (runs, many, report, run, events, functions, function_actions, function, apps, workers, failures):
    router.include_router(_part.router)


def install(app: FastAPI, *, pages: bool) -> None:
    """Serve the dashboard at the application's root; without ``pages``, what pages to log in are made with."""
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    if not pages:
        app.add_api_route("/", _to_account, include_in_schema=False)
        return
    app.state.inspection = Inspection(app.state.server.runtime)
    app.include_router(live.router, include_in_schema=False, dependencies=[Depends(require(Role.VIEWER))])
    app.include_router(router)


def _to_account(_: Annotated[Person, Depends(require(Role.VIEWER))]) -> RedirectResponse:
    """Lead on whoever has logged in."""
    return RedirectResponse("/account", status_code=303)
