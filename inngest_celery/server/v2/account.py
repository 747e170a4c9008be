"""``/v2/health``, and what a server that has one account and one environment says of these."""

from __future__ import annotations

from fastapi import APIRouter

from inngest_celery import ids
from inngest_celery.server.state import Serving
from inngest_celery.server.v2.shapes import Answer, Listed, Shape, answered, listed
from inngest_celery.server.v2.tools import as_tool
from inngest_celery.store import credentials
from inngest_celery.store import event_keys as event_key_rows

open_router = APIRouter()
router = APIRouter()


class Health(Shape):
    status: str = "ok"


class Account(Shape):
    id: str = ids.ACCOUNT
    name: str = "default"


class Environment(Shape):
    id: str = ids.ENVIRONMENT
    name: str
    type: str


class Key(Shape):
    """A key, which is not told."""

    id: str
    environment: str


@open_router.get("/health", openapi_extra=as_tool("health"))
def health(server: Serving) -> Answer[Health]:
    """Tell that the server answers."""
    return answered(server, Health())


@router.get("/account")
def account(server: Serving) -> Answer[Account]:
    """Give the account."""
    return answered(server, Account())


@router.get("/envs")
def environments(server: Serving) -> Listed[Environment]:
    """Give the environment."""
    kind = "DEV" if server.options.development else "PRODUCTION"
    return listed(server, [Environment(name=kind.lower(), type=kind)], None, more=False, limit=1)


@router.get("/keys/events")
def event_keys(server: Serving) -> Listed[Key]:
    """Tell how many event keys are good."""
    now = server.runtime.clock.now()
    with server.runtime.database.autocommit() as connection:
        made = sum(credentials.is_good(key, now) for key in event_key_rows.all_of(connection))
    return _keys(server, len(server.options.event_keys) + made)


@router.get("/keys/signing")
def signing_keys(server: Serving) -> Listed[Key]:
    """Tell how many signing keys are good."""
    return _keys(server, len(server.runtime.signing_keys.good))


def _keys(server: Serving, count: int) -> Listed[Key]:
    keys = [Key(id=str(number), environment="production") for number in range(1, count + 1)]
    return listed(server, keys, None, more=False, limit=max(count, 1))
