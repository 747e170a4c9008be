"""Apps: what has registered, how that went, and adding one by its address."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from inngest_celery.server import notices, registration, syncing
from inngest_celery.server.dashboard.acting import Acting
from inngest_celery.server.errors import ApiError
from inngest_celery.server.rendering import page
from inngest_celery.server.state import Serving
from inngest_celery.store import apps, functions
from inngest_celery.store.apps import AppRow

router = APIRouter()


@dataclass(frozen=True, slots=True)
class AppShown:
    """One app. ``row`` is empty for one in Python code that workers import."""

    id: str
    row: AppRow | None
    functions: int


@router.get("/apps")
def list_apps(request: Request, server: Serving) -> Response:
    """Show all apps."""
    with server.runtime.database.autocommit() as connection:
        called = {app.id: app for app in apps.all_of(connection)}
        active = [row for row in functions.all_of(connection) if row.archived_at is None]
    counts = Counter(row.app_id for row in active)
    shown = [AppShown(app_id, called.get(app_id), counts[app_id]) for app_id in sorted({*called, *counts})]
    return page(request, "apps.html", apps=shown)


@router.post("/apps")
def add(server: Serving, acting: Acting, url: Annotated[str, Form()] = "") -> Response:
    """Have the app at an address register."""
    try:
        with acting.does("app.sync", url):
            syncing.sync(server, url)
    except ApiError as error:
        return notices.redirect("/apps", str(error), failed=True)
    return notices.redirect("/apps", f"{url} was asked to register.")


@router.post("/apps/{app_id}/remove")
def remove(server: Serving, acting: Acting, app_id: str) -> Response:
    """Archive an app. Runs that it has go on."""
    with acting.does("app.remove", app_id):
        removed = registration.remove(server, app_id)
    if not removed:
        return notices.redirect("/apps", f"There is no app {app_id} that is called over the wire.", failed=True)
    return notices.redirect("/apps", f"{app_id} is archived. Its runs go on; it starts no new ones.")
