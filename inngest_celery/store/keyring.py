"""The keys that payloads are encrypted with in the database.

Each process makes *data keys* of its own, and encrypts with them: AES-256-GCM, under a random nonce. A data key is
kept with every value that it has encrypted, wrapped with a *master key* (AES key wrap, RFC 3394), and so a value can be
read by whoever has the master key, whatever has become of the process. A master key never meets a payload: however many
there are, no key encrypts more of them than random nonces of 96 bits are good for.

A value reads ``enc:1:<name of the master key>:<base64 of wrapped key, nonce and ciphertext>``. No JSON text begins so,
and what was stored before there was a key goes on being readable beside it. The ciphertext is bound to its column, so
that it cannot be moved into another one; it is not bound to its row.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import os
import re
import secrets
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inngest_celery.store.database import DatabaseError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARK: Final = "enc:1:"
KEY_BYTES: Final = 32
_WRAPPED_BYTES: Final = KEY_BYTES + 8
_NONCE_BYTES: Final = 12
# After so many values a process makes a new data key: far from 2^32, where random nonces begin to repeat.
_MOST_VALUES: Final = 2**26
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}")
_CACHED: Final = 4096

FetchKey = Callable[[str], bytes]


class KeyringError(DatabaseError):
    """A key cannot be used, or is not there. ``code`` is stable; the message names the key, and never shows it."""


class Keyring:
    """Master keys by name: the first one encrypts, all decrypt.

    Args:
        keys: 32 bytes each.

    Raises:
        KeyringError: there is none, or the package ``cryptography`` is not installed.

    Example::

        keyring = Keyring({"2026-11": os.urandom(32)})
        keyring.open(keyring.seal("{}", "event.data"), "event.data")
    """

    def __init__(self, keys: dict[str, bytes]) -> None:
        if not keys:
            raise KeyringError("encryption_key_invalid", "A keyring needs a key: inngest_encryption_keys names none.")
        try:
            from cryptography.hazmat.primitives import keywrap
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise KeyringError(
                "encryption_package_missing",
                "inngest_encryption_keys needs the package cryptography: pip install 'inngest-celery[encryption]'.",
            ) from error
        self._keys = dict(keys)
        self._gcm, self._wrap, self._unwrap = AESGCM, keywrap.aes_key_wrap, keywrap.aes_key_unwrap
        self.current = next(iter(keys))
        self._guard = threading.Lock()
        self._data_key: tuple[str, bytes, AESGCM] | None = None
        self._left = 0
        # Values of one process come together: to unwrap its data key for each of them would cost as much as the rest.
        self._cipher = lru_cache(_CACHED)(self._unwrapped)
        _forget_after_fork(self)

    @property
    def names(self) -> list[str]:
        """The keys' names, the one that encrypts first."""
        return list(self._keys)

    def seal(self, text: str, place: str) -> str:
        """Encrypt a value.

        Args:
            text: what is not to be read.
            place: where it belongs, as ``event.data``; it can be read as a value of that place only.
        """
        head, wrapped, cipher = self._take()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = cipher.encrypt(nonce, text.encode(), place.encode())
        return head + base64.b64encode(wrapped + nonce + sealed).decode()

    def open(self, value: str, place: str) -> str:
        """Give back what was encrypted, and what is not encrypted as it is.

        Raises:
            KeyringError: its key is not among these (code ``encryption_key_missing``), or it is not what was written
                there (``encrypted_value_broken``).
        """
        if not value.startswith(MARK):
            return value
        from cryptography.exceptions import InvalidTag

        name, _, text = value.removeprefix(MARK).partition(":")
        try:
            data = base64.b64decode(text, validate=True)
            cipher = self._cipher(name, data[:_WRAPPED_BYTES])
            nonce_end = _WRAPPED_BYTES + _NONCE_BYTES
            return cipher.decrypt(data[_WRAPPED_BYTES:nonce_end], data[nonce_end:], place.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise _broken(name, place) from error

    def _take(self) -> tuple[str, bytes, AESGCM]:
        with self._guard:
            if self._data_key is None or not self._left:
                key = secrets.token_bytes(KEY_BYTES)
                wrapped = self._wrap(self._keys[self.current], key)
                self._data_key = f"{MARK}{self.current}:", wrapped, self._gcm(key)
                self._left = _MOST_VALUES
            self._left -= 1
            return self._data_key

    def _unwrapped(self, name: str, wrapped: bytes) -> AESGCM:
        from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

        if name not in self._keys:
            raise missing_key(name)
        try:
            return self._gcm(self._unwrap(self._keys[name], wrapped))
        except InvalidUnwrap as error:
            raise KeyringError(
                "encryption_key_wrong",
                f"The key {name!r} of inngest_encryption_keys is not the one that values were encrypted with under "
                "this name. Give it back its former bytes, or name the new key otherwise.",
            ) from error

    def forget_data_key(self) -> None:
        """Encrypt with another data key from now on: parent and child would each count by itself."""
        self._guard = threading.Lock()
        self._data_key = None


def _forget_after_fork(keyring: Keyring) -> None:
    reference = weakref.ref(keyring)

    def forget() -> None:
        found = reference()
        if found is not None:
            found.forget_data_key()

    os.register_at_fork(after_in_child=forget)


def missing_key(name: str) -> KeyringError:
    """Give the error of a value whose key is not there."""
    return KeyringError(
        "encryption_key_missing",
        f"A value in the database is encrypted with the key {name!r}, which inngest_encryption_keys does not have. Add "
        "it there, behind the first one; `inngest-celery encryption status` tells how many values need it.",
    )


def _broken(name: str, place: str) -> KeyringError:
    return KeyringError(
        "encrypted_value_broken",
        f"A value of {place} that is encrypted with the key {name!r} is not what was written there: it was changed, "
        "cut off, or moved from another column. Restore it from a back-up.",
    )


def keyring_of(keys: Sequence[str]) -> Keyring | None:
    """Make a keyring of a setting.

    Args:
        keys: each ``name:<32 bytes as base64 or hex>``, ``name:file:/path`` of a file with such text, or
            ``name:python:package.module.function``, which is called with the name and gives 32 bytes: from a KMS, say.

    Returns:
        ``None`` if there are no keys.

    Raises:
        KeyringError: one cannot be used. The message says which, and nothing of the key itself.

    Example:
        >>> keyring_of([]) is None
        True
    """
    found: dict[str, bytes] = {}
    for number, text in enumerate(keys, 1):
        name, colon, rest = text.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise KeyringError(
                "encryption_key_invalid",
                f"Key {number} of inngest_encryption_keys has no name. Write name:<base64 of 32 bytes>, with a name of "
                "at most 40 lower-case letters, digits, dots and hyphens, such as the month that it was made in.",
            )
        if name in found:
            raise KeyringError(
                "encryption_key_invalid", f"inngest_encryption_keys has two keys with the name {name!r}."
            )
        found[name] = _bytes_of(name, rest)
    return Keyring(found) if found else None


def new_key(name: str) -> str:
    """Make a key, written as the setting wants it."""
    return f"{name}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def _bytes_of(name: str, given: str) -> bytes:
    kind, _, where = given.partition(":")
    if kind == "file" and where:
        try:
            return _decoded(name, Path(where).read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            raise KeyringError(
                "encryption_key_invalid",
                f"The file {where} with the key {name!r} of inngest_encryption_keys cannot be read: {error}.",
            ) from error
    if kind == "python" and where:
        return _checked(name, _function(name, where)(name))
    return _decoded(name, given)


def _decoded(name: str, text: str) -> bytes:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    try:
        return _checked(name, base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise _wrong_size(name) from error


def _checked(name: str, key: object) -> bytes:
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise _wrong_size(name)
    return key


def _wrong_size(name: str) -> KeyringError:
    return KeyringError(
        "encryption_key_invalid",
        f"The key {name!r} of inngest_encryption_keys is not {KEY_BYTES} bytes, as base64 or hex. "
        "`inngest-celery encryption new-key` makes one.",
    )


def _function(name: str, path: str) -> FetchKey:
    module, _, attribute = path.rpartition(".")
    try:
        found: FetchKey = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise KeyringError(
            "encryption_key_invalid",
            f"{path}, which gives the key {name!r} of inngest_encryption_keys, cannot be imported: {error}.",
        ) from error
    return found
