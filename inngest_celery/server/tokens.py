"""Tokens that let whoever has made a request see the output of its run, and nothing else."""

from __future__ import annotations

import hashlib

import jwt

from inngest_celery.drivers.http.signing import bare_key
from inngest_celery.server.state import Server

_ALGORITHM = "HS256"
_LIFE_S = 7 * 86_400
_AUDIENCE = "run-output"


def run_token(server: Server, run_id: str) -> str:
    """Make the token for one run's output. It is good for a week."""
    at_s = server.runtime.clock.now() // 1000
    claims = {"aud": _AUDIENCE, "sub": run_id, "iat": at_s, "exp": at_s + _LIFE_S}
    return jwt.encode(claims, _secret(next(iter(server.settings.signing_keys), "")), algorithm=_ALGORITHM)


def allows_output(server: Server, token: str, run_id: str) -> bool:
    """Tell whether a token is one for a run's output, and still good."""
    # A server without keys protects nothing.
    for secret in map(_secret, server.runtime.signing_keys.good or [""]):
        try:
            # Time is our clock's, so it is compared here.
            claims = jwt.decode(
                token,
                secret,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                options={"verify_exp": False, "verify_iat": False, "require": ["exp", "sub"]},
            )
        except jwt.InvalidTokenError:
            continue
        return bool(claims["sub"] == run_id and claims["exp"] > server.runtime.clock.now() // 1000)
    return False


def _secret(key: str) -> bytes:
    """Give what tokens are signed with."""
    return hashlib.sha256(b"run output:" + bare_key(key).encode()).digest()
