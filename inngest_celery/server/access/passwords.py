"""Passwords, as Argon2id keeps them."""

from __future__ import annotations

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 10, 1024
_HASHER = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4)
# Each takes 64 MiB while it runs: whoever sends many log-ins at once is not to take all memory.
_AT_ONCE = threading.BoundedSemaphore(4)
# Of nobody's password: a name that is not known takes as long as one that is.
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$t2/jpo5/UxwIzEfH7Gabmw$5hILkJWhg03Su9x40HzulxonVDvo2Gr/wxm01Fhbcvc"


class PasswordRefused(ValueError):
    """A password cannot be taken. ``code`` is ``password_invalid``."""

    code = "password_invalid"


def hashed(password: str) -> str:
    """Give what is stored of a new password.

    Raises:
        PasswordRefused: it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise PasswordRefused(f"A password has {SHORTEST} to {LONGEST} characters. Take a long one that is new.")
    with _AT_ONCE:
        return _HASHER.hash(_written(password))


def is_right(stored: str | None, password: str) -> bool:
    """Tell whether a password is the one that is stored. It takes the same time if none is."""
    with _AT_ONCE:
        try:
            right = _HASHER.verify(stored or _NOBODYS, _written(password[: LONGEST + 1]))
        except (VerificationError, InvalidHashError):
            return False
    return right and stored is not None


def is_outdated(stored: str) -> bool:
    """Tell whether a password should be hashed anew, because that is done with more work now."""
    return _HASHER.check_needs_rehash(stored)


def _written(password: str) -> bytes:
    # One keyboard writes é as one character, another one as two.
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")
