"""``/audit``: who has done what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from inngest_celery.server.access.identity import Admin
from inngest_celery.server.rendering import page
from inngest_celery.server.runs import checked
from inngest_celery.server.state import server_of
from inngest_celery.store import audit

router = APIRouter(prefix="/audit")

_PAGE = 50
Exact = Annotated[str, Query(max_length=255)]


@router.get("")
def show(
    request: Request, person: Admin, actor: Exact = "", action: Exact = "", subject: Exact = "", before: str = ""
) -> Response:
    """Show what was done, the newest first."""
    wanted = audit.AuditFilter(actor, action, subject)
    with server_of(request).runtime.database.autocommit() as connection:
        found = audit.page(connection, wanted, _PAGE + 1, checked(before) if before else None)
    shown = found[:_PAGE]
    last = shown[-1][0].id if len(found) > _PAGE else None
    return page(request, "audit.html", entries=shown, wanted=wanted, last=last)
