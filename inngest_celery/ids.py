"""Identifiers: ULIDs for events and runs, and the hashes under which steps are memoised."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import threading
import uuid

from ulid import ULID

_ENTROPY_BYTES = 10
_MAX_TIME = (1 << 48) - 1

_lock = threading.Lock()
_last_time = -1
_last_entropy = 0


def new(now_ms: int) -> str:
    """Give a new ULID for an instant; within one millisecond of one process later ones sort after earlier ones.

    Args:
        now_ms: milliseconds since 1970, from the clock in use.

    Example:
        >>> first, second = new(1_700_000_000_000), new(1_700_000_000_000)
        >>> first < second
        True
    """
    global _last_time, _last_entropy
    with _lock:
        # The top bit stays free, so that counting up within the millisecond cannot overflow.
        entropy = _last_entropy + 1 if now_ms == _last_time else int.from_bytes(os.urandom(_ENTROPY_BYTES)) >> 1
        _last_time, _last_entropy = now_ms, entropy
    return _text(now_ms, entropy.to_bytes(_ENTROPY_BYTES))


def _forget() -> None:
    """After a fork the child must not go on counting from where its parent goes on counting."""
    global _last_time, _lock
    _last_time, _lock = -1, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def first_of(time_ms: int) -> str:
    """Give the ULID before which no other of an instant, or later, sorts.

    Example:
        >>> first_of(1_700_000_000_000)
        '01HF7YAT000000000000000000'
    """
    return _text(time_ms, bytes(_ENTROPY_BYTES))


def from_seed(header: str, index: int) -> str | None:
    """Give the ULID of one event of a request from its ``x-inngest-event-id-seed`` header, or None if it is malformed.

    The same header and index always give the same id, so that a request sent twice stores its events once.

    Args:
        header: ``<milliseconds>,<base64 of 10 bytes>``.
        index: the event's place in the request, from 0.

    Example:
        >>> from_seed("1700000000000,AAAAAAAAAAAAAA==", 0)
        '01HF7YAT000000000000000001'
    """
    millis, _, encoded = header.partition(",")
    try:
        time_ms = int(millis)
        entropy = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return None
    if len(entropy) != _ENTROPY_BYTES or not 0 <= time_ms <= _MAX_TIME:
        return None
    # The last four bytes count the events; the wire's count begins at 1.
    count = (int.from_bytes(entropy[-4:]) + index + 1) & 0xFFFF_FFFF
    return _text(time_ms, entropy[:-4] + count.to_bytes(4))


def derived(time_ms: int, *parts: str) -> str:
    """Give the ULID that always belongs to these parts, so that writing the same thing twice is seen as once.

    Args:
        time_ms: the instant in the id, in milliseconds since 1970.
        parts: whatever tells this thing from every other, such as run id, step id and index.

    Example:
        >>> derived(0, "run", "step", "0") == derived(0, "run", "step", "0") != derived(0, "run", "step", "1")
        True
    """
    return _text(time_ms, entropy_of(*parts))


def entropy_of(*parts: str) -> bytes:
    """Give the ten bytes that always belong to these parts; ``("a", "bc")`` and ``("ab", "c")`` differ."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(8) + raw)
    return digest.digest()[:_ENTROPY_BYTES]


def time_of(ulid: str) -> int:
    """Give the instant in a ULID, in milliseconds since 1970.

    Raises:
        ValueError: the text is no ULID.

    Example:
        >>> time_of("01HF7YAT000000000000000001")
        1700000000000
    """
    return int.from_bytes(ULID.from_str(ulid).bytes[:6])


def stand_in(text: str) -> str:
    """Give what stands for a text of any length where otherwise an id would: 26 characters, always the same ones.

    Example:
        >>> stand_in("shop-onboard")
        '3e8adae23e8d48943568312ba2'
    """
    return hashlib.sha256(text.encode()).hexdigest()[:26]


def hash_step_id(user_id: str, index: int = 0) -> str:
    """Give the hash under which a step is memoised.

    Args:
        user_id: the id in the user's code.
        index: how often the same id was met before in this execution of the function.

    Example:
        >>> hash_step_id("my-step-id")[:8]
        'e7d8a2f1'
    """
    text = user_id if index == 0 else f"{user_id}:{index}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _text(time_ms: int, entropy: bytes) -> str:
    if not 0 <= time_ms <= _MAX_TIME:
        raise ValueError(f"a ULID holds 0 to {_MAX_TIME} ms since 1970, not {time_ms}")
    return str(ULID(time_ms.to_bytes(6) + entropy))


# The account and the environment that SDKs and their tools expect of a server that has only one of each.
ACCOUNT = "00000000-0000-4000-a000-000000000000"
ENVIRONMENT = "00000000-0000-4000-b000-000000000000"


def function_uuid(function_id: str) -> str:
    """Give the UUID that stands for a function where the wire wants one; always the same one."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"function:{function_id}"))


def app_uuid(app_id: str) -> str:
    """Give the UUID that stands for an app."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"app:{app_id}"))
