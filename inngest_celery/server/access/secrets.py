"""Secret values that are shown once and stored as hashes only. They are random, so a plain hash keeps them."""

from __future__ import annotations

import hashlib
import secrets

_BYTES = 32
_MOST_NAME = 100


def new_secret(prefix: str = "") -> str:
    """Make a value that nobody can guess."""
    return prefix + secrets.token_urlsafe(_BYTES)


def hash_of(secret: str) -> str:
    """Give what is stored in place of a value. Looking it up by an index tells nothing about the value."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def check_new(what: str, name: str, lasts_ms: int | None, refused: type[ValueError]) -> None:
    """Refuse a value whose purpose nobody could tell, or that would be good for no time.

    Args:
        what: what it is: ``key`` or ``token``.
        name: what it is for.
        lasts_ms: for how many milliseconds it is to be good; ``None``: until it is revoked.
        refused: what is raised.
    """
    if not 0 < len(name.strip()) <= _MOST_NAME or not name.isprintable():
        raise refused(f"Say in up to {_MOST_NAME} characters what the {what} is for.")
    if lasts_ms is not None and lasts_ms <= 0:
        raise refused(f"A {what} is good for some time, such as 90d.")
