"""Event keys that are made, changed and revoked while the server runs; settings may name others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from inngest_celery import ids
from inngest_celery.server.access.secrets import check_new, hash_of, new_secret
from inngest_celery.store import credentials
from inngest_celery.store import event_keys as rows
from inngest_celery.store.conflicts import retried
from inngest_celery.store.event_keys import KeyRow
from inngest_celery.worker.runtime import Runtime

PREFIX = "ice_"
_MOST_SCOPE, _MOST_SCOPES = 512, 100


class KeyRefused(ValueError):
    """A key cannot be made like that. ``code`` is ``key_invalid``."""

    code = "key_invalid"


class KeyNotFound(LookupError):
    """There is no such key that is good. ``code`` is ``key_not_found``."""

    code = "key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no key {key_id[:100]!r} that is good. `inngest-celery keys list` shows all.")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made.

    Attributes:
        secret: the key itself, which is told only now.
    """

    row: KeyRow
    secret: str


def create(
    runtime: Runtime, name: str, scopes: Sequence[str] = (), *, created_by: str, lasts_ms: int | None = None
) -> NewKey:
    """Make an event key.

    Args:
        name: what it is for, up to 100 characters.
        scopes: the events that it may send: names, or beginnings of names that end in ``*``; all, if there are none.
        created_by: whoever makes it.
        lasts_ms: for how many milliseconds it is good; until it is revoked, if left out.

    Raises:
        KeyRefused: it has no name, a scope that no event could have, or is good for no time.

    Example: ``create(runtime, "ci", ["shop/*"], created_by="ada").secret``
    """
    check_new("key", name, lasts_ms, KeyRefused)
    now = runtime.clock.now()
    made = _new(now, name.strip(), _checked(scopes), created_by, None if lasts_ms is None else now + lasts_ms)
    _store(runtime, made.row)
    return made


@retried
def _store(runtime: Runtime, row: KeyRow) -> None:
    with runtime.database.transaction() as connection:
        rows.add(connection, row)


def rotate(runtime: Runtime, key_id: str, *, created_by: str, overlap_ms: int) -> NewKey:
    """Make a key in the place of another one, with the same name, scopes and life. Both are good for a while.

    Args:
        key_id: the other one's.
        created_by: whoever does it.
        overlap_ms: for how many milliseconds the old one stays good, unless it expires before.

    Raises:
        KeyNotFound: there is none that is good.
        KeyRefused: the time is negative.
    """
    if overlap_ms < 0:
        raise KeyRefused("The old key stays good for some time, such as 7d; 0s ends it at once.")
    return _rotate(runtime, key_id, created_by, overlap_ms)


@retried
def _rotate(runtime: Runtime, key_id: str, created_by: str, overlap_ms: int) -> NewKey:
    now = runtime.clock.now()
    with runtime.database.transaction() as connection:
        old = rows.lock(connection, key_id)
        if old is None or not credentials.is_good(old, now):
            raise KeyNotFound(key_id)
        ends = None if old.expires_at is None else now + old.expires_at - old.created_at
        made = _new(now, old.name, old.scopes, created_by, ends, replaces=old.id)
        rows.add(connection, made.row)
        rows.expire(connection, old.id, min(now + overlap_ms, old.expires_at or now + overlap_ms))
    return made


@retried
def revoke(runtime: Runtime, key_id: str) -> None:
    """Make a key good for nothing. Servers that have just looked at it take it for up to five seconds more.

    Raises:
        KeyNotFound: there is none, or it was revoked before.
    """
    with runtime.database.transaction() as connection:
        if not rows.revoke(connection, key_id, runtime.clock.now()):
            raise KeyNotFound(key_id)


def allows(patterns: Sequence[str], name: str) -> bool:
    """Tell whether scopes let an event be sent.

    Example:
        >>> allows(["shop/*"], "shop/order.placed"), allows(["shop/*"], "billing/paid"), allows([], "any")
        (True, False, True)
    """
    return not patterns or any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )


def _new(
    now: int, name: str, scopes: str, created_by: str, expires_at: int | None, replaces: str | None = None
) -> NewKey:
    secret = new_secret(PREFIX)
    row = KeyRow(
        id=ids.new(now),
        kind=rows.KIND,
        hash=hash_of(secret),
        name=name,
        scopes=scopes,
        created_by=created_by,
        created_at=now,
        expires_at=expires_at,
        replaces=replaces,
    )
    return NewKey(row, secret)


def _checked(scopes: Sequence[str]) -> str:
    if len(scopes) > _MOST_SCOPES:
        raise KeyRefused(f"A key has up to {_MOST_SCOPES} scopes.")
    for scope in scopes:
        if not 0 < len(scope) <= _MOST_SCOPE or not scope.isprintable() or "*" in scope[:-1]:
            raise KeyRefused(
                f"{scope[:80]!r} is no scope: write an event's name, or the beginning of names and *, as in shop/*."
            )
    return json.dumps(list(dict.fromkeys(scopes)), ensure_ascii=False)
