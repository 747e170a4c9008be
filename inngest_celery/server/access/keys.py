"""Keys: SDKs show the signing key, senders of events an event key."""

from __future__ import annotations

from fastapi.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from inngest_celery.drivers.http.signing import authorises
from inngest_celery.server.access import event_keys
from inngest_celery.server.access.api_tokens import PREFIX
from inngest_celery.server.access.senders import DEVELOPER, Sender, Senders
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import server_of


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


async def require_event_key(request: HTTPConnection, key: str, *, header: bool = True) -> Sender:
    """Refuse a key that no event may be sent with; give whose it is. An API token with ``events:send`` is one, too.

    Args:
        key: as it stands in the address.
        header: whether a token may stand in the ``Authorization`` header instead.

    Raises:
        ApiError: 401.
    """
    senders: Senders = request.app.state.senders
    found = senders.configured_one(key) or senders.known(key)
    if found is not None:
        return found
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ") if header else ("", "", "")
    shown = bearer.strip() if scheme.lower() == "bearer" and bearer.startswith(PREFIX) else key
    if not senders.configured and server_of(request).options.development and not shown.startswith(event_keys.PREFIX):
        return DEVELOPER
    return await run_in_threadpool(senders.look_up, shown)
