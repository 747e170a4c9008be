"""Keys: SDKs show the signing key, senders of events an event key."""

from __future__ import annotations

from fastapi.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from inngest_celery.server.access import event_keys
from inngest_celery.server.access.api_tokens import PREFIX
from inngest_celery.server.access.senders import DEVELOPER, Sender, Senders
from inngest_celery.server.errors import ApiError
from inngest_celery.server.state import server_of
from inngest_celery.worker.signing_keys import EXPIRED


def require_signing_key(request: HTTPConnection) -> None:
    """Refuse a request without the signing key's token. Only a development server without a key asks for none.

    Raises:
        ApiError: 401.
    """
    server = server_of(request)
    keys = server.runtime.signing_keys
    if not server.settings.signing_keys and server.options.development:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    request.state.signing_key = keys.holder(token, shown_by(request))
    if request.state.signing_key is None:
        if keys.has_ended(token):
            raise ApiError(401, keys.ending, code=EXPIRED)
        raise ApiError(
            401,
            "Authentication failed. Send Authorization: Bearer with the hashed signing key that this server has "
            "(INNGEST_SIGNING_KEY in the app and in the server).",
            code="authentication_failed",
        )


def shown_by(request: HTTPConnection) -> str:
    """Tell who shows a signing key, as far as a request says it; see :func:`note_app`."""
    sdk = "".join(each for each in request.headers.get("x-inngest-sdk", "") if each.isprintable())
    return f"an app on {sdk[:64]}" if sdk else "a request to the APIs"


def note_app(request: HTTPConnection, app_id: str) -> None:
    """Note which app it is that has shown the signing key in a request."""
    key: str | None = getattr(request.state, "signing_key", None)
    if key is not None:
        server_of(request).runtime.signing_keys.note(key, f"app {app_id}")


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
