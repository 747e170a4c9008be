"""``GET /dev``: what a development server says of itself. SDKs look for it to find out that there is one."""

from __future__ import annotations

import json

from fastapi import APIRouter

from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import VERSION, Serving
from inngest_celery.store import apps, functions

router = APIRouter()


@router.get("/dev")
def info(server: Serving) -> dict[str, object]:
    """Describe this server and what is registered with it."""
    if not server.options.development:
        raise ApiError(404, "this is no development server", code="not_found")
    with server.runtime.database.autocommit() as connection:
        known = {row.id: row for row in apps.all_of(connection)}
        registered = [row for row in functions.all_of(connection) if row.archived_at is None]
    options = server.options
    return {
        "version": VERSION,
        "startOpts": {
            "sdkURLs": list(options.sdk_urls),
            "autodiscover": options.discovery,
            "poll": options.poll_interval > 0,
            "pollInterval": options.poll_interval,
        },
        "authed": False,
        "functions": [json.loads(row.config) for row in registered],
        "handlers": [
            {"sdk": {"url": app.url, "appName": app.id, "sdk": app.sdk, "framework": app.framework}, "error": app.error}
            for app in known.values()
        ],
        "features": {},
    }
