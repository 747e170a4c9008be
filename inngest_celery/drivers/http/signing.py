"""Signatures and keys, as the SDKs check and make them.

Two things that are easily mixed up: a body is signed with the key's own text, without its prefix; a bearer token is the
hash of the bytes that this text spells in hexadecimal, with the prefix.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

import jcs

_PREFIX = re.compile(r"^signkey-\w+-")
MAX_AGE_S = 300


def canonical(body: object) -> bytes:
    """Give a JSON value's bytes in the one form that both sides sign (RFC 8785).

    Example:
        >>> canonical({"b": 1.0, "a": "é"}).decode()
        '{"a":"é","b":1}'
    """
    written = jcs.canonicalize(body)
    assert isinstance(written, bytes)
    return written


def sign(key: str, body: bytes, at_s: int) -> str:
    """Give the ``X-Inngest-Signature`` of a body.

    Args:
        key: the signing key, with or without its prefix.
        body: the bytes that are sent, in canonical form if they are JSON for an SDK.
        at_s: when, in seconds since 1970.
    """
    return f"t={at_s}&s={_digest(key, body, str(at_s))}"


def is_signed(keys: Iterable[str], body: bytes, signature: str, now_s: int) -> bool:
    """Tell whether a signature of a body was made with one of these keys within the last five minutes."""
    return signer_of(keys, body, signature, now_s) is not None


def signer_of(keys: Iterable[str], body: bytes, signature: str, now_s: int) -> str | None:
    """Give the key that a signature of a body was made with within the last five minutes, if it is one of these."""
    fields = parse_qs(signature)
    at, digest = fields.get("t", [""])[0], fields.get("s", [""])[0]
    if not at.isascii() or not at.isdigit() or len(at) > 15 or abs(now_s - int(at)) > MAX_AGE_S:
        return None
    return _first(keys, lambda key: hmac.compare_digest(_digest(key, body, at).encode(), digest.encode()))


def bearer_of(key: str) -> str:
    """Give the bearer token of a signing key.

    Raises:
        ValueError: it is not hexadecimal after its prefix.

    Example:
        >>> bearer_of("signkey-prod-12345678")[:21]
        'signkey-prod-b2ed9921'
    """
    bare = bare_key(key)
    return key[: len(key) - len(bare)] + hashlib.sha256(bytes.fromhex(bare)).hexdigest()


def holder_of(keys: Iterable[str], token: str) -> str | None:
    """Give the key that a bearer token stands for, if it is one of these: the token is its hash, or the key itself."""
    given = bare_key(token).encode()

    def stands_for(key: str) -> bool:
        hashed = hmac.compare_digest(given, bare_key(bearer_of(key)).encode())
        return hmac.compare_digest(given, bare_key(key).encode()) or hashed

    return _first(keys, stands_for)


def _first(keys: Iterable[str], fits: Callable[[str], bool]) -> str | None:
    """Give the first key that fits, having looked at all: how long it takes does not tell which one it was."""
    fitting = [key for key in keys if fits(key)]
    return fitting[0] if fitting else None


def bare_key(key: str) -> str:
    """Give a key without what says that it is one."""
    return _PREFIX.sub("", key)


def _digest(key: str, body: bytes, at: str) -> str:
    return hmac.new(bare_key(key).encode(), body + at.encode(), hashlib.sha256).hexdigest()
