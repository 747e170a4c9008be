"""Logging in at an OpenID Connect provider: authorization code with PKCE.

What belongs to one attempt (state, nonce, verifier) is kept by the browser that makes it, in a cookie of its own.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt

from inngest_celery.server.access.oidc_attempt import Attempt
from inngest_celery.server.access.oidc_http import ask, refused, require_safe, unusable
from inngest_celery.server.access.roles import ROLES, Role
from inngest_celery.server.errors import ApiError
from inngest_celery.settings import Settings

_LEEWAY_S = 60
# None that is a secret which both sides have.
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the provider has sent.

    Attributes:
        external: a hash that stands for this one with this provider, for ever.
        name: what to call it.
        role: as its claims say; ``None`` if they say nothing of it.
    """

    external: str
    name: str
    role: Role | None


class Provider:
    """The provider of a server's settings.

    Args:
        settings: those that begin with ``oidc_``.
        metadata: what the provider says of itself.
    """

    def __init__(self, settings: Settings, metadata: Mapping[str, Any]) -> None:
        self._settings = settings
        self._metadata = metadata
        self._keys: dict[str, dict[str, Any]] = {}

    @classmethod
    def discover(cls, settings: Settings) -> Provider:
        """Ask the provider of the settings what it is.

        Raises:
            ApiError: 502 ``oidc_unavailable``: it does not answer, or is another one.
        """
        issuer = settings.oidc_issuer or ""
        metadata = ask(httpx.Request("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
        if metadata.get("issuer") != issuer:
            raise unusable(f"it calls itself {metadata.get('issuer')!r}: set inngest_oidc_issuer to the same")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            require_safe(str(metadata.get(name, "")), name)
        return cls(settings, metadata)

    def address(self, attempt: Attempt, redirect_uri: str) -> str:
        """Give where to send a browser."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": redirect_uri,
            "scope": self._settings.oidc_scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = str(self._metadata["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def redeem(self, code: str, attempt: Attempt, redirect_uri: str, now_s: int) -> Identity:
        """Exchange a code for the identity that it stands for.

        Args:
            now_s: seconds since 1970.

        Raises:
            ApiError: 401 ``oidc_refused``, 403 ``role_missing`` or 502 ``oidc_unavailable``.
        """
        settings = self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
            "client_id": settings.oidc_client_id or "",
        }
        secret = settings.oidc_client_secret
        auth = httpx.BasicAuth(settings.oidc_client_id or "", secret) if secret else None
        answer = ask(httpx.Request("POST", str(self._metadata["token_endpoint"]), data=form), auth)
        claims = self._claims(str(answer.get("id_token", "")), attempt.nonce, now_s)
        return self._identity(claims)

    def _claims(self, token: str, nonce: str, now_s: int) -> dict[str, Any]:
        """Read an ID token that this provider has made for us, for this attempt, just now."""
        client_id = self._settings.oidc_client_id
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in _ALGORITHMS:
                raise jwt.InvalidAlgorithmError(f"it is signed with {header.get('alg')}")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(str(header.get("kid", "")), header["alg"]),
                algorithms=[header["alg"]],
                audience=client_id,
                issuer=self._metadata["issuer"],
                # Time is our clock's, so it is compared here.
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False,
                         "require": ["exp", "iat", "sub", "aud", "iss"]},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise refused(f"its ID token cannot be trusted: {error}") from error
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", client_id) != client_id or (several and "azp" not in claims):
            raise refused("its ID token is for somebody else")
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise refused("its ID token is for another attempt")
        made_at, ends_at = claims["iat"], claims["exp"]
        times = isinstance(made_at, int | float) and isinstance(ends_at, int | float)
        if not (times and made_at - _LEEWAY_S <= now_s < ends_at + _LEEWAY_S):
            raise refused("its ID token has expired, or one of the clocks is wrong")
        return claims

    def _key(self, kid: str, algorithm: str) -> jwt.PyJWK:
        if kid not in self._keys:
            # It changes its keys now and then.
            given = ask(httpx.Request("GET", str(self._metadata["jwks_uri"]))).get("keys", [])
            self._keys = {str(key.get("kid", "")): key for key in given if key.get("kty") in _KEY_TYPES}
        key = self._keys.get(kid)
        if key is None or key.get("alg", algorithm) != algorithm or key.get("use", "sig") != "sig":
            raise jwt.InvalidKeyError("no key of the provider's can have signed it")
        return jwt.PyJWK(key, algorithm)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        settings = self._settings
        role = None
        if settings.oidc_role_claim:
            values = _at(claims, settings.oidc_role_claim)
            held = [Role[settings.oidc_roles[value].upper()] for value in values if value in settings.oidc_roles]
            if not held:
                message = f"The provider gives you no role here: {settings.oidc_role_claim} names none that counts."
                raise ApiError(403, message, code="role_missing")
            role = max(held)
            assert role in ROLES
        external = hashlib.sha256(f"{claims['iss']}\0{claims['sub']}".encode()).hexdigest()
        name = next((str(claims[key]) for key in ("preferred_username", "email", "sub") if claims.get(key)), "")
        return Identity(external, name, role)


def _at(claims: Mapping[str, Any], path: str) -> list[str]:
    """Give the texts at a place; a name with dots in it goes before a way through others."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
    return [str(value) for value in found] if isinstance(found, list) else ([str(found)] if found is not None else [])
