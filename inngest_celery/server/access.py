"""Who may do what: SDKs by the signing key, senders of events by an event key."""

from __future__ import annotations

import hmac

from starlette.requests import HTTPConnection

from inngest_celery.drivers.http.signing import authorises
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import Server, server_of


def require_signing_key(request: HTTPConnection) -> None:
    """Refuse a request without the signing key's token, if this server has a key.

    Raises:
        ApiError: 401.
    """
    keys = server_of(request).settings.signing_keys
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if keys and not (scheme.lower() == "bearer" and authorises(keys, token.strip())):
        raise ApiError(
            401,
            "Authentication failed. Send Authorization: Bearer with the hashed signing key that this server has "
            "(INNGEST_SIGNING_KEY in the app and in the server).",
            code="authentication_failed",
        )


def require_event_key(server: Server, key: str) -> None:
    """Refuse a key that no event may be sent with.

    Raises:
        ApiError: 401.
    """
    known = server.options.event_keys
    if known and not any(hmac.compare_digest(key.encode(), each.encode()) for each in known):
        raise ApiError(401, "Event key not found", code="event_key_not_found")
