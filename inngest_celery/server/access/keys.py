"""Keys: SDKs show the signing key, senders of events an event key."""

from __future__ import annotations

import hmac

from fastapi.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from inngest_celery.drivers.http.signing import authorises
from inngest_celery.server.access.api_tokens import PREFIX, may_send_events
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import Server, server_of


def require_signing_key(request: HTTPConnection) -> None:
    """Refuse a request without the signing key's token. Only a development server without a key asks for none.

    Raises:
        ApiError: 401.
    """
    server = server_of(request)
    keys = server.settings.signing_keys
    if not keys and server.options.development:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not (keys and scheme.lower() == "bearer" and authorises(keys, token.strip())):
        raise ApiError(
            401,
            "Authentication failed. Send Authorization: Bearer with the hashed signing key that this server has "
            "(INNGEST_SIGNING_KEY in the app and in the server).",
            code="authentication_failed",
        )


async def require_event_key(server: Server, key: str, request: HTTPConnection | None = None) -> None:
    """Refuse a key that no event may be sent with. An API token with the scope ``events:send`` is one, too.

    Args:
        key: as it stands in the address.
        request: where a token may stand in the ``Authorization`` header instead.

    Raises:
        ApiError: 401.
    """
    known = server.options.event_keys
    if any(hmac.compare_digest(key.encode(), each.encode()) for each in known):
        return
    if not known and server.options.development:
        return
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ") if request else ("", "", "")
    shown = bearer.strip() if scheme.lower() == "bearer" and bearer.startswith(PREFIX) else key
    if not await run_in_threadpool(may_send_events, server.runtime, shown):
        raise ApiError(401, "Event key not found", code="event_key_not_found")
