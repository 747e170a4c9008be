"""REST v2: runs, apps, functions and events, in camel case. What only a hosted service has is answered with 501."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from inngest_celery.server.access import Role, require
from inngest_celery.server.errors import ApiError
from inngest_celery.server.v2 import account, apps, events, keys, runs
from inngest_celery.server.v2.shapes import REFUSALS

router = APIRouter(responses=REFUSALS, tags=["v2"])
router.include_router(account.open_router)
_closed = APIRouter(dependencies=[Depends(require(Role.VIEWER))])
for each in (account.router, keys.router, runs.router, apps.router, events.router):
    _closed.include_router(each)


@_closed.api_route("/{path:path}", methods=["GET", "POST", "PATCH", "PUT", "DELETE"], include_in_schema=False)
def not_here(path: str) -> None:
    """Refuse what this server does not have."""
    raise ApiError(501, f"/{path} is not implemented by this server", code="not_implemented")


router.include_router(_closed)
