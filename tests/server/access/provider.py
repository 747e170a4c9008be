"""An OpenID Connect provider: the other side of the protocol, with a key of its own, and strict about what it gets."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import Annotated, Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse

CLIENT, SECRET = "inngest", "client-secret-that-is-a-long-one"


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Provider:
    """Lets everybody in as whom ``claims`` say.

    Attributes:
        issuer: its address, once it is served.
        claims: what its next ID token says besides the usual.
        codes: what it has given out and nobody has redeemed, and what was asked for.
        signs_with: a key, its own if it is honest.
    """

    def __init__(self) -> None:
        self.issuer = ""
        self._key = new_key()
        self.be_honest()
        self.codes: dict[str, dict[str, str]] = {}
        self.app = FastAPI()
        self.app.get("/.well-known/openid-configuration")(self.metadata)
        self.app.get("/keys")(self.keys)
        self.app.get("/authorize")(self.authorize)
        self.app.post("/token")(self.token)

    def be_honest(self) -> None:
        """Forget what a test has had it say."""
        self.claims: dict[str, Any] = {"sub": "42", "preferred_username": "Ada"}
        self.headers: dict[str, str] = {"kid": "one"}
        self.algorithm = "ES256"
        self.signs_with: Any = self._key

    def metadata(self) -> dict[str, str]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def keys(self) -> dict[str, Any]:
        key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**key, "kid": "one", "use": "sig"}]}

    def authorize(self, request: Request) -> RedirectResponse:
        asked = dict(request.query_params)
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == ("code", CLIENT, "S256")
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}")

    def token(
        self,
        request: Request,
        code: Annotated[str, Form()],
        redirect_uri: Annotated[str, Form()],
        code_verifier: Annotated[str, Form()],
        grant_type: Annotated[str, Form()],
    ) -> JSONResponse:
        asked = self.codes.pop(code, None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        basic = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        good = (
            asked is not None
            and challenge == asked["code_challenge"]
            and redirect_uri == asked["redirect_uri"]
            and grant_type == "authorization_code"
            and request.headers.get("authorization") == basic
        )
        if asked is None or not good:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        token = jwt.encode(usual | self.claims, self.signs_with, algorithm=self.algorithm, headers=self.headers)
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": token})
