"""Tokens with which somebody without the signing key may listen to some topics: JWTs that live for a minute."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import jwt

from inngest_celery import ids
from inngest_celery.drivers.http.signing import bare_key

LIFETIME_S = 60
_ISSUER = "rt.inngest.com"
_ALGORITHM = "HS256"
# A server without keys gives a token to anybody who asks, so anybody may as well make one.
_DEVELOPMENT = "development"


class TokenRefused(Exception):
    """A token lets nobody in. ``code`` says why: ``token_missing``, ``token_expired`` or ``token_invalid``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Topic(NamedTuple):
    """A topic on a channel."""

    channel: str
    name: str


def issue(keys: Sequence[str], topics: Sequence[Topic], now_s: int) -> str:
    """Make a token for these topics.

    Args:
        keys: the server's signing keys, the one to sign with first.
        topics: what its holder may listen to.
        now_s: seconds since 1970.
    """
    claims = {
        "iss": _ISSUER,
        "iat": now_s,
        "exp": now_s + LIFETIME_S,
        "env": ids.ENVIRONMENT,
        "topics": [{"kind": "run", "channel": topic.channel, "name": topic.name} for topic in topics],
        "publish": False,
    }
    return jwt.encode(claims, _secrets(keys)[0], _ALGORITHM)


def read(keys: Sequence[str], token: str, now_s: int) -> frozenset[Topic]:
    """Give the topics that a token is for.

    Raises:
        TokenRefused: it is missing, was not made with one of these keys, or has expired.
    """
    if not token:
        raise TokenRefused(
            "token_missing",
            "Listening takes a token: POST /v1/realtime/token gives one to apps. Send it as ?token= or "
            "Authorization: Bearer.",
        )
    for secret in _secrets(keys):
        try:
            claims = jwt.decode(
                token,
                secret,
                [_ALGORITHM],
                issuer=_ISSUER,
                # By our own clock, which is not always the machine's.
                options={"require": ["exp", "iss"], "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidTokenError:
            break
        if claims["exp"] <= now_s:
            message = f"The token has expired: one lives for {LIFETIME_S} s. Get a new one for each connection."
            raise TokenRefused("token_expired", message)
        return frozenset(Topic(topic["channel"], topic["name"]) for topic in claims["topics"])
    raise TokenRefused("token_invalid", "The token was not made by this server, or has been changed.")


def _secrets(keys: Sequence[str]) -> list[bytes]:
    """Give the secrets of the keys: not the keys themselves, so that a token tells nothing of how calls are signed."""
    return [hashlib.sha256(f"realtime:{bare_key(key)}".encode()).digest() for key in keys or [_DEVELOPMENT]]
