"""``/v1/apps``."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter

from inngest_celery import ids
from inngest_celery.server.errors import REFUSALS
from inngest_celery.server.state import Serving
from inngest_celery.store import functions

router = APIRouter(prefix="/apps", responses=REFUSALS)


@router.get("/{name}/functions")
def functions_of_app(server: Serving, name: str) -> list[dict[str, Any]]:
    """Give the functions of an app; none for an app that there is not."""
    with server.runtime.database.autocommit() as connection:
        found = functions.of_app(connection, name)
    return [
        {"id": ids.function_uuid(row.id), "slug": row.id, "version": row.version, "config": json.loads(row.config)}
        for row in found
    ]
