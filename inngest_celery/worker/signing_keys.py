"""The signing keys of the settings: which are good now, and when each was used last, and by whom.

A use is noted in memory, and written to the minute: by servers every few seconds, by a worker's process at most once a
minute. A process that is killed forgets what it has not written, a few seconds of a server's.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from inngest_celery.drivers.http.signing import bare_key, bearer_of, holder_of, signer_of
from inngest_celery.store import signing_keys as rows
from inngest_celery.store.conflicts import retried
from inngest_celery.store.credentials import USED_MS
from inngest_celery.store.database import Database, DatabaseError

if TYPE_CHECKING:
    from inngest_celery.worker.runtime import Runtime

logger = logging.getLogger(__name__)

MAIN, FALLBACK = "inngest_signing_key", "inngest_signing_key_fallback"
EXPIRED = "signing_key_expired"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A signing key, which is not told.

    Attributes:
        id: of the row that its uses are noted in; empty if none was.
        setting: the setting that it stands in; empty if it stands in none any more.
        seen_at: since when its uses are noted, in milliseconds.
        used_at: when it was used last, to the minute.
        used_by: by whom, such as ``app shop``.
        good_until: when it ends, if that is set.
    """

    id: str
    setting: str
    seen_at: int | None
    used_at: int | None
    used_by: str
    good_until: int | None


class SigningKeys:
    """Checks what is signed, and tokens that stand for keys; all threads of a process share one.

    Args:
        runtime: whose settings, clock and database.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._noted: dict[str, tuple[int, str]] = {}
        self._written: dict[str, int] = {}

    @property
    def good(self) -> list[str]:
        """The keys that are good now, the one to sign with first."""
        return self._runtime.settings.signing_keys_at(self._runtime.clock.now())

    def holder(self, token: str, by: str) -> str | None:
        """Give the key that a bearer token stands for, if it is a good one, and note that it was used.

        Args:
            by: who shows it.
        """
        return self._used(holder_of(self.good, token), by)

    def signer(self, body: bytes, signature: str, by: str) -> str | None:
        """Give the key that a body is signed with, if it is a good one, and note that it was used.

        Args:
            by: who has signed it.
        """
        now_s = self._runtime.clock.now() // 1000
        return self._used(signer_of(self.good, body, signature, now_s), by)

    def has_ended(self, token: str) -> bool:
        """Tell whether a bearer token stands for a key that was good once."""
        return holder_of(self._ended, token) is not None

    def was_signed(self, body: bytes, signature: str) -> bool:
        """Tell whether a body is signed with a key that was good once."""
        return signer_of(self._ended, body, signature, self._runtime.clock.now() // 1000) is not None

    @property
    def ending(self) -> str:
        """What to say of a key that was good once."""
        until = self._runtime.settings.signing_key_fallback_until
        return (
            f"The fallback signing key was good until {until and until.isoformat()}, as "
            "inngest_signing_key_fallback_until says. Set INNGEST_SIGNING_KEY of the app to this server's signing key."
        )

    def note(self, key: str, by: str) -> None:
        """Note that a key was used.

        Args:
            key: one of the settings.
            by: who it was.
        """
        with self._lock:
            self._noted[key] = (self._runtime.clock.now(), by)

    def note_marked(self, mark: str, by: str) -> None:
        """Note that a key was used that is known by its mark only; see :func:`mark_of`."""
        key = next((key for key in self._runtime.settings.signing_keys if mark_of(key) == mark), None)
        if key is not None:
            self.note(key, by)

    def write(self) -> None:
        """Write what was noted, of each key at most once a minute; to be called now and then, and not on a loop."""
        with self._lock:
            due = {
                key: noted
                for key, noted in self._noted.items()
                if noted[0] >= self._written.get(key, -USED_MS) + USED_MS
            }
            for key, (at, _) in due.items():
                del self._noted[key]
                self._written[key] = at
        if not due:
            return
        try:
            hashes = {key: hash_of(key) for key in self._runtime.settings.signing_keys}
            _write(self._runtime.database, hashes, due, self._runtime.clock.now())
        except (SQLAlchemyError, DatabaseError) as error:
            logger.warning("Uses of signing keys were not noted: %s", error, extra={"action": "key_use_unwritten"})
            with self._lock:
                for key in due:
                    self._written.pop(key, None)
                    self._noted.setdefault(key, due[key])

    def _used(self, key: str | None, by: str) -> str | None:
        if key is not None:
            self.note(key, by)
        return key

    @property
    def _ended(self) -> list[str]:
        good = self.good
        return [key for key in self._runtime.settings.signing_keys if key not in good]


@retried
def _write(database: Database, hashes: dict[str, str], due: dict[str, tuple[int, str]], now: int) -> None:
    with database.transaction() as connection:
        rows.watch(connection, hashes.values(), now)
        # One order for everybody.
        for key_hash, (at, by) in sorted((hashes[key], noted) for key, noted in due.items()):
            rows.note(connection, key_hash, at, by)


def hash_of(key: str) -> str:
    """Give what a key is known by in the database: the hash of the hash that stands for it as a token."""
    try:
        token = bearer_of(key)
    except ValueError:
        # It is no hexadecimal number: good for signatures, and no token stands for it.
        token = hashlib.sha256(key.encode()).hexdigest()
    return hashlib.sha256(bare_key(token).encode()).hexdigest()


def mark_of(key: str | None) -> str:
    """Give what tells a key from the others, and nothing of it; empty for none."""
    return "" if key is None else hash_of(key)[:16]


def known(runtime: Runtime) -> list[KnownKey]:
    """Give the signing keys that are set, and those that were, with when they were used last."""
    settings = runtime.settings
    with runtime.database.autocommit() as connection:
        uses = {use.hash: use for use in rows.uses(connection)}
    until = settings.signing_key_fallback_until
    ends = {FALLBACK: None if until is None else round(until.timestamp() * 1000)}
    found = []
    for setting, key in ((MAIN, settings.signing_key), (FALLBACK, settings.signing_key_fallback)):
        if key:
            found.append(_known(uses.pop(hash_of(key), None), setting, ends.get(setting)))
    return [*found, *(_known(use, "", None) for use in uses.values())]


def _known(use: rows.Use | None, setting: str, good_until: int | None) -> KnownKey:
    if use is None:
        return KnownKey("", setting, None, None, "", good_until)
    return KnownKey(use.id, setting, use.seen_at, use.used_at, use.used_by, good_until)
