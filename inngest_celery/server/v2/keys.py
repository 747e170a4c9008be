"""``/v2/keys``: keys are looked after by admins, and programs with a token of that scope."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, Request, Response
from pydantic import Field

from inngest_celery.engine.durations import parse_duration
from inngest_celery.server.access import Admin, audit, event_keys
from inngest_celery.server.access.event_keys import KeyNotFound, KeyRefused, NewKey
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import Serving
from inngest_celery.server.times import instant, instant_or_none
from inngest_celery.server.v2.shapes import Answer, Listed, Shape, answered, listed
from inngest_celery.store import event_keys as rows
from inngest_celery.store.event_keys import KeyRow
from inngest_celery.worker import signing_keys
from inngest_celery.worker.signing_keys import KnownKey

router = APIRouter(prefix="/keys")


class KeyShape(Shape):
    """A key, which is not told.

    Attributes:
        id: of an event key; of a signing key, if a use of it was noted.
        kind: ``event`` or ``signing``.
        name: what it is for; of a signing key, the setting that it stands in, if it does.
        scopes: what an event key may send; all events, if there are none.
        used_at: to the minute.
        used_by: who used a signing key then.
        replaces: the key in whose place it was made.
    """

    id: str | None
    kind: str
    name: str
    scopes: list[str]
    created_by: str | None
    created_at: str | None
    expires_at: str | None
    used_at: str | None
    used_by: str | None
    revoked_at: str | None
    replaces: str | None


class NewKeyShape(KeyShape):
    """A key that was made.

    Attributes:
        key: the key itself, which is told only now.
    """

    key: str


class KeyRequest(Shape):
    """A key to make.

    Attributes:
        scopes: what it may send: names, or beginnings of names that end in ``*``; all events, if left out.
        lasts: for how long it is good, such as ``90d``; until it is revoked, if left out.
    """

    name: str
    scopes: list[str] = Field(default_factory=list)
    lasts: str | None = None


class RotationRequest(Shape):
    """How to put another key in the place of one.

    Attributes:
        overlap: for how long the old one stays good.
    """

    overlap: str = "7d"


@router.get("")
def list_keys(server: Serving, person: Admin) -> Listed[KeyShape]:
    """Give all keys, the newest first, but not what they are; and when signing keys were used last."""
    with server.runtime.database.autocommit() as connection:
        found = [_shape(row) for row in rows.all_of(connection)]
    found += [_signing_shape(key) for key in signing_keys.known(server.runtime)]
    return listed(server, found, None, more=False, limit=max(len(found), 1))


@router.post("/events", status_code=201)
def create(
    request: Request, response: Response, server: Serving, person: Admin, given: KeyRequest
) -> Answer[NewKeyShape]:
    """Make an event key. It is told this once."""
    with _explained():
        lasts_ms = None if given.lasts is None else _duration(given.lasts, "lasts")
        details = {"scopes": given.scopes, "expires": given.lasts}
        with audit.record(request, person, "key.create", given.name, details) as entry:
            made = event_keys.create(
                server.runtime, given.name, given.scopes, created_by=person.name, lasts_ms=lasts_ms
            )
            entry.tell(key=made.row.id)
    return _told(server, response, made)


@router.post("/events/{key_id}/rotate", status_code=201)
def rotate(
    request: Request,
    response: Response,
    server: Serving,
    person: Admin,
    key_id: str,
    given: RotationRequest | None = None,
) -> Answer[NewKeyShape]:
    """Make an event key in the place of another one. Both are good for a while."""
    overlap = (given or RotationRequest()).overlap
    with _explained():
        overlap_ms = _duration(overlap, "overlap")
        with audit.record(request, person, "key.rotate", key_id, {"overlap": overlap}) as entry:
            made = event_keys.rotate(server.runtime, key_id, created_by=person.name, overlap_ms=overlap_ms)
            entry.tell(key=made.row.id)
    return _told(server, response, made)


@router.post("/events/{key_id}/revoke")
def revoke(request: Request, server: Serving, person: Admin, key_id: str) -> Answer[KeyShape]:
    """Make an event key good for nothing, within five seconds."""
    with _explained(), audit.record(request, person, "key.revoke", key_id):
        event_keys.revoke(server.runtime, key_id)
    with server.runtime.database.autocommit() as connection:
        found = next(row for row in rows.all_of(connection) if row.id == key_id)
    return answered(server, _shape(found))


def _told(server: Serving, response: Response, made: NewKey) -> Answer[NewKeyShape]:
    response.headers["cache-control"] = "no-store"
    return answered(server, NewKeyShape(**_shape(made.row).model_dump(), key=made.secret))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except KeyRefused as error:
        raise ApiError(400, str(error), code=error.code) from error
    except KeyNotFound as error:
        raise ApiError(404, str(error), code=error.code) from error


def _duration(text: str, field: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise KeyRefused(f"{field}: {error}") from error


def _shape(row: KeyRow) -> KeyShape:
    return KeyShape(
        id=row.id,
        kind=row.kind,
        name=row.name,
        scopes=row.patterns,
        created_by=row.created_by,
        created_at=instant(row.created_at),
        expires_at=instant_or_none(row.expires_at),
        used_at=instant_or_none(row.used_at),
        used_by=None,
        revoked_at=instant_or_none(row.revoked_at),
        replaces=row.replaces,
    )


def _signing_shape(key: KnownKey) -> KeyShape:
    return KeyShape(
        id=key.id or None,
        kind="signing",
        name=key.setting,
        scopes=[],
        created_by=None,
        created_at=None,
        expires_at=instant_or_none(key.good_until),
        used_at=instant_or_none(key.used_at),
        used_by=key.used_by or None,
        revoked_at=None,
        replaces=None,
    )
