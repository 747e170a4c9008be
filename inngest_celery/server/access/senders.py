"""Who sends events with a key, and which events it may send.

Keys are looked up once in a few seconds, and not for every request: in between they cost no statement.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace

from inngest_celery.server.access import api_tokens, event_keys
from inngest_celery.server.access.secrets import hash_of
from inngest_celery.server.errors import ApiError
from inngest_celery.store import credentials
from inngest_celery.store import event_keys as rows
from inngest_celery.store.event_keys import KeyRow
from inngest_celery.store.sent_by import SentBy
from inngest_celery.worker.runtime import Runtime

# So long a key may be good here after it was revoked elsewhere.
KNOWN_MS = 5_000
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Sender:
    """Whoever sends events.

    Attributes:
        id: of the key or token; of a key in a setting, the beginning of its hash. Empty where none is asked for.
        name: what it is for.
        kind: ``event_key``, ``token`` or ``development``.
        scopes: which events it may send, see :func:`~inngest_celery.server.access.event_keys.allows`.
    """

    id: str
    name: str
    kind: str
    scopes: tuple[str, ...] = ()

    @property
    def told(self) -> SentBy | None:
        """What is kept of it with an event; nothing where no key is asked for."""
        return SentBy(kind=self.kind, name=self.name, id=self.id) if self.id else None

    def require_scope(self, names: Iterable[str]) -> None:
        """Refuse events that this sender may not send.

        Raises:
            ApiError: 403 ``event_key_scope_missing``.
        """
        for name in names:
            if not event_keys.allows(self.scopes, name):
                raise ApiError(
                    403,
                    f"The event key {self.name!r} may not send {name[:200]!r}, so nothing was stored. It may send: "
                    f"{', '.join(self.scopes)}.",
                    code="event_key_scope_missing",
                )


DEVELOPER = Sender("", "developer", "development")


class Senders:
    """Finds out who has a key. It is shared by all requests of a server, whose threads may all call it at once.

    Args:
        runtime: whose database.
        settings_keys: the keys that need not be looked up.
    """

    def __init__(self, runtime: Runtime, settings_keys: Iterable[str]) -> None:
        self._runtime = runtime
        # Hashes are compared: they are all as long, and nothing tells how much of a guess was right.
        self._configured = [(_digest(key), _from_setting(key)) for key in settings_keys]
        self._known: dict[str, tuple[KeyRow, int]] = {}

    @property
    def configured(self) -> bool:
        """Whether there are keys in the settings."""
        return bool(self._configured)

    def configured_one(self, key: str) -> Sender | None:
        """Give the sender of a key that stands in the settings."""
        given = _digest(key)
        found = [sender for digest, sender in self._configured if hmac.compare_digest(digest, given)]
        return found[0] if found else None

    def known(self, key: str) -> Sender | None:
        """Give the sender of a key that needs no statement now: it was looked up a moment ago, and is good.

        Args:
            key: as it was sent.
        """
        row, looked_at = self._known.get(hash_of(key), (None, 0)) if key.startswith(event_keys.PREFIX) else (None, 0)
        now = self._runtime.clock.now()
        if row is None or not 0 <= now - looked_at < KNOWN_MS or not credentials.is_good(row, now):
            return None
        return _sender(row)

    def look_up(self, key: str) -> Sender:
        """Give the sender of a key or token that has to be looked up. It asks the database.

        Raises:
            ApiError: 401 ``event_key_not_found``, ``event_key_revoked`` or ``event_key_expired``.
        """
        if key.startswith(event_keys.PREFIX):
            return self._look_up(key)
        holder = api_tokens.sender_of(self._runtime, key)
        if holder is None:
            raise ApiError(401, "Event key not found", code="event_key_not_found")
        return Sender(holder.id, holder.name, "token")

    def _look_up(self, key: str) -> Sender:
        now, key_hash = self._runtime.clock.now(), hash_of(key)
        with self._runtime.database.autocommit() as connection:
            row = rows.find(connection, key_hash)
            if row is not None and credentials.is_good(row, now):
                rows.touch(connection, row, now)
        if row is None:
            raise ApiError(401, "Event key not found", code="event_key_not_found")
        if not credentials.is_good(row, now):
            self._known.pop(key_hash, None)
            code = "event_key_revoked" if row.revoked_at is not None else "event_key_expired"
            message = f"The event key {row.name!r} ({row.id}) is good no more: `inngest-celery keys create` makes one."
            raise ApiError(401, message, code=code)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key_hash] = (row, now)
        return _sender(row)


def _sender(row: KeyRow) -> Sender:
    return Sender(row.id, row.name, "event_key", tuple(row.patterns))


def _from_setting(key: str) -> Sender:
    return replace(DEVELOPER, id=f"setting:{_digest(key).hex()[:8]}", name="inngest_event_keys", kind="event_key")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()
