"""Secret values that are shown once and stored as hashes only. They are random, so a plain hash keeps them."""

from __future__ import annotations

import hashlib
import secrets

_BYTES = 32


def new_secret(prefix: str = "") -> str:
    """Make a value that nobody can guess."""
    return prefix + secrets.token_urlsafe(_BYTES)


def hash_of(secret: str) -> str:
    """Give what is stored in place of a value. Looking it up by an index tells nothing about the value."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
