"""REST v1: events, runs, functions and signals, as the official server has them, but fresh and with real statuses."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from inngest_celery.server.access import Role, require
from inngest_celery.server.v1 import cancellations, events, functions, runs, signals

router = APIRouter(prefix="/v1", dependencies=[Depends(require(Role.VIEWER))], tags=["v1"])
for each in (events.router, runs.router, functions.router, signals.router, cancellations.router):
    router.include_router(each)
