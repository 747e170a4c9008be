"""Signatures and keys, as the SDKs check and make them.

Two things that are easily mixed up: a body is signed with the key's own text, without its prefix; a bearer token is the
hash of the bytes that this text spells in hexadecimal, with the prefix.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
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
    fields = parse_qs(signature)
    at, digest = fields.get("t", [""])[0], fields.get("s", [""])[0]
    if not at.isascii() or not at.isdigit() or len(at) > 15 or abs(now_s - int(at)) > MAX_AGE_S:
        return False
    return any(hmac.compare_digest(_digest(key, body, at).encode(), digest.encode()) for key in keys)


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


def authorises(keys: Iterable[str], token: str) -> bool:
    """Tell whether a bearer token stands for one of these keys: its hash, or the key itself."""
    given = bare_key(token).encode()
    wanted = (text.encode() for key in keys for text in (bare_key(bearer_of(key)), bare_key(key)))
    return any(hmac.compare_digest(given, each) for each in wanted)


def bare_key(key: str) -> str:
    """Give a key without what says that it is one."""
    return _PREFIX.sub("", key)


def _digest(key: str, body: bytes, at: str) -> str:
    return hmac.new(bare_key(key).encode(), body + at.encode(), hashlib.sha256).hexdigest()
