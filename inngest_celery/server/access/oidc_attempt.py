"""One attempt to log in at an identity provider, as the browser that makes it keeps it."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to log in, until the provider sends the browser back.

    Attributes:
        state: comes back as it is.
        nonce: stands in the ID token.
        verifier: proves to the provider that whoever redeems the code has asked for it.
        next: the page to show then.
    """

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def new(cls, page: str) -> Attempt:
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(32), page)

    def to_cookie(self) -> str:
        parts = [self.state, self.nonce, self.verifier, self.next]
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()

    @classmethod
    def from_cookie(cls, text: str | None) -> Attempt | None:
        try:
            parts = json.loads(base64.urlsafe_b64decode(text or ""))
        except ValueError:
            return None
        whole = isinstance(parts, list) and len(parts) == 4 and all(isinstance(part, str) and part for part in parts)
        return cls(*parts) if whole else None
