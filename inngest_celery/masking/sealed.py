"""Sealed values: what a :class:`inngest_celery.Secret` is wherever it is stored. Only those who have the key read it.

AES-256-GCM; the first key seals, all of them open, so that a key can be changed while old values are there.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARKER = "__inngest_secret__"
SHOWN = "[secret]"
_NONCE = 12
_KEY = 32
# What else is sealed with the same key is not to be taken for one.
_PURPOSE = b"inngest_celery.secret.1"


class SealedError(Exception):
    """A secret cannot be sealed, or not be opened.

    Attributes:
        code: ``secret_key_missing`` or ``secret_unreadable``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def is_sealed(value: object) -> bool:
    """Tell whether a value of parsed JSON is a sealed one."""
    return isinstance(value, dict) and len(value) == 1 and MARKER in value


def replaced(value: Any, replacement: Callable[[dict[str, Any]], Any]) -> Any:
    """Put something in the place of all that is sealed in parsed JSON; changes it in place."""
    box = [value]
    stack: list[Any] = [box]
    while stack:
        container = stack.pop()
        for key, item in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if is_sealed(item):
                container[key] = replacement(item)
            elif isinstance(item, dict | list):
                stack.append(item)
    return box[0]


def hidden(value: Any) -> Any:
    """Put ``[secret]`` in the place of all that is sealed in parsed JSON; changes it in place."""
    return replaced(value, lambda _: SHOWN)


def read_keys(text: str) -> list[bytes]:
    """Read keys of 32 bytes, in hexadecimal or base64, separated by commas.

    Raises:
        ValueError: one is none. The message does not show it.
    """
    return [_read_key(each.strip(), index) for index, each in enumerate(text.split(",")) if each.strip()]


def _read_key(text: str, index: int) -> bytes:
    try:
        key = (
            bytes.fromhex(text) if len(text) == 2 * _KEY else base64.b64decode(text.translate(_URL_SAFE), validate=True)
        )
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != _KEY:
        raise ValueError(
            f"key {index + 1} is not {_KEY} bytes in hexadecimal or base64; make one with: openssl rand -base64 {_KEY}"
        )
    return key


_URL_SAFE = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class SecretKeys:
    """The keys of a deployment, the one to seal with first."""

    keys: tuple[bytes, ...]

    def seal(self, value: Any) -> dict[str, str]:
        """Seal a value that is JSON.

        Raises:
            SealedError: there is no key (``secret_key_missing``).
        """
        if not self.keys:
            raise SealedError(
                "secret_key_missing",
                "A Secret is about to be stored, and there is no key to seal it with. Set inngest_secret_key to 32 "
                "bytes in base64, the same for workers and senders: openssl rand -base64 32",
            )
        nonce = os.urandom(_NONCE)
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        sealed = nonce + _cipher(self.keys[0]).encrypt(nonce, text, _PURPOSE)
        return {MARKER: base64.b64encode(sealed).decode()}

    def open(self, sealed: dict[str, Any]) -> Any:
        """Give what was sealed.

        Raises:
            SealedError: none of the keys opens it (``secret_unreadable``).
        """
        from cryptography.exceptions import InvalidTag

        try:
            given = base64.b64decode(sealed[MARKER], validate=True)
        except (TypeError, ValueError):
            given = b""
        for key in self.keys:
            try:
                return json.loads(_cipher(key).decrypt(given[:_NONCE], given[_NONCE:], _PURPOSE))
            except (InvalidTag, ValueError):
                continue
        raise SealedError(
            "secret_unreadable",
            "A Secret cannot be opened: it was sealed with another key, or altered. Add the key that it was sealed "
            "with to inngest_secret_key, behind the new one and separated by a comma.",
        )


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise SealedError(
            "secret_key_missing", "Secrets need a package that is missing: pip install 'inngest-celery[encryption]'"
        ) from error
    return AESGCM(key)


# Gives the keys of the app at hand, asked only when something is sealed or opened.
keys: ContextVar[Callable[[], SecretKeys]] = ContextVar("inngest_secret_keys", default=lambda: SecretKeys(()))


@contextmanager
def used(given: Callable[[], SecretKeys]) -> Iterator[None]:
    """Seal and open with these keys meanwhile."""
    token = keys.set(given)
    try:
        yield
    finally:
        keys.reset(token)
