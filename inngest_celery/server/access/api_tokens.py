"""API tokens: programs send them as ``Authorization: Bearer``, or senders of events in the place of an event key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inngest_celery import ids
from inngest_celery.server.access.roles import SCOPES, SEND_EVENTS, Person, Role
from inngest_celery.server.access.secrets import check_new, hash_of, new_secret
from inngest_celery.store import api_tokens as rows
from inngest_celery.store.api_tokens import TokenRow
from inngest_celery.store.conflicts import retried
from inngest_celery.worker.runtime import Runtime

PREFIX = "ict_"


class TokenRefused(ValueError):
    """A token cannot be made like that. ``code`` is ``token_invalid``."""

    code = "token_invalid"


class TokenNotFound(LookupError):
    """There is no such token that is good. ``code`` is ``token_not_found``."""

    code = "token_not_found"

    def __init__(self, token_id: str) -> None:
        super().__init__(f"There is no token {token_id!r} that is good. `inngest-celery tokens list` shows all.")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was made.

    Attributes:
        secret: the token itself, which is told only now.
    """

    row: TokenRow
    secret: str


def create(
    runtime: Runtime, name: str, scopes: Sequence[str], *, created_by: str, lasts_ms: int | None = None
) -> NewToken:
    """Make a token.

    Args:
        name: what it is for, up to 100 characters.
        scopes: what it allows: ``read``, ``operate``, ``admin``, ``events:send``.
        created_by: whoever makes it.
        lasts_ms: for how many milliseconds it is good; for ever, if left out.

    Raises:
        TokenRefused: it has no name, or no scope that there is.

    Example: ``create(runtime, "grafana", ["read"], created_by="ada").secret``
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        said = f"There is no scope {unknown[0][:40]!r}" if unknown else "A token has one scope or more"
        raise TokenRefused(f"{said}. Scopes: {', '.join(SCOPES)}.")
    check_new("token", name, lasts_ms, TokenRefused)
    now, secret = runtime.clock.now(), new_secret(PREFIX)
    row = TokenRow(
        id=ids.new(now),
        hash=hash_of(secret),
        name=name.strip(),
        scopes=" ".join(scope for scope in SCOPES if scope in scopes),
        created_by=created_by,
        created_at=now,
        expires_at=None if lasts_ms is None else now + lasts_ms,
    )
    _store(runtime, row)
    return NewToken(row, secret)


@retried
def _store(runtime: Runtime, row: TokenRow) -> None:
    with runtime.database.transaction() as connection:
        rows.add(connection, row)


@retried
def revoke(runtime: Runtime, token_id: str) -> None:
    """Make a token good for nothing, from the next request on.

    Raises:
        TokenNotFound: there is none, or it was revoked before.
    """
    with runtime.database.transaction() as connection:
        if not rows.revoke(connection, token_id, runtime.clock.now()):
            raise TokenNotFound(token_id)


def holder_of(runtime: Runtime, secret: str) -> Person | None:
    """Tell who sends a token, if it is a good one."""
    row = _find(runtime, secret)
    if row is None:
        return None
    role = max((SCOPES[scope] for scope in row.scopes.split()), default=Role.NOBODY)
    return Person(row.name, role, "token", token_id=row.id)


def sender_of(runtime: Runtime, secret: str) -> TokenRow | None:
    """Give a good token that lets events be sent."""
    row = _find(runtime, secret)
    return row if row is not None and SEND_EVENTS in row.scopes.split() else None


def _find(runtime: Runtime, secret: str) -> TokenRow | None:
    if not secret.startswith(PREFIX):
        return None
    now = runtime.clock.now()
    with runtime.database.autocommit() as connection:
        row = rows.find(connection, hash_of(secret), now)
        if row is not None:
            rows.touch(connection, row, now)
    return row
