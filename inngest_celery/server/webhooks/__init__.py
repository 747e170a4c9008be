"""``/w/{name}``: what other services send becomes events, once their signature is checked."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from inngest_celery import ids
from inngest_celery.sdk.errors import EventInvalidError
from inngest_celery.sdk.sending import MAX_EVENT_BYTES
from inngest_celery.server import bodies, incoming
from inngest_celery.server.access import Sender, require_event_key
from inngest_celery.server.documents import body_of
from inngest_celery.server.errors import ApiError, Refusal
from inngest_celery.server.events import names_of
from inngest_celery.server.state import Server, Serving
from inngest_celery.server.webhooks.signatures import Delivery, check
from inngest_celery.server.webhooks.transforms import events_of
from inngest_celery.webhooks import Webhook
from inngest_celery.worker.outbox import Outbox

router = APIRouter(prefix="/w", tags=["webhooks"])
_UNUSABLE: dict[str, Any] = {"model": Refusal, "description": "The webhook makes no event of it."}


@router.get("/{name}")
def ping(server: Serving, name: str) -> dict[str, object]:
    """Tell that a webhook is there: some services look before they send."""
    _webhook(server, name)
    return {"status": 200, "message": "OK"}


@router.post("/{name}", responses={422: _UNUSABLE}, openapi_extra=body_of({}))
async def receive(request: Request, server: Serving, name: str) -> JSONResponse:
    """Check who sends it, make events of it, and store them."""
    webhook = _webhook(server, name)
    query = dict(request.query_params)
    sender = None
    if webhook.provider is None:
        sender = await require_event_key(request, query.get("key", ""), header=False)
    body = await bodies.read(request, MAX_EVENT_BYTES)
    delivery = Delivery(body, {key.lower(): value for key, value in request.headers.items()}, query)
    delivery_id = check(webhook, delivery, server.runtime.clock.now() // 1000)
    given = bodies.json_of(body) if body.strip() else {}
    # Whoever signs has no key: the webhook itself is who has sent it.
    by = sender or Sender(f"webhook:{name}", name, "webhook")
    stored = await run_in_threadpool(_store, server, name, webhook, delivery, given, delivery_id, by)
    request.app.state.sends.count(by, [event_name for event_name, _ in stored])
    return JSONResponse({"ids": [event_id for _, event_id in stored], "status": 200})


def _webhook(server: Server, name: str) -> Webhook:
    webhook = server.settings.webhooks.get(name)
    if webhook is None:
        message = f"There is no webhook {name!r}: inngest_webhooks names those that are served"
        raise ApiError(404, message, code="not_found")
    return webhook


def _store(
    server: Server,
    name: str,
    webhook: Webhook,
    delivery: Delivery,
    given: Any,
    delivery_id: str | None,
    sender: Sender,
) -> list[tuple[str, str]]:
    """Store the events; give the name and id of each."""
    events = events_of(webhook, name, given, delivery)
    sender.require_scope(names_of(events))
    for position, event in enumerate(events):
        # A delivery that comes again is the same one: its events start nothing twice.
        if delivery_id and isinstance(event, dict) and not event.get("id"):
            event["id"] = f"{name}:{delivery_id}" + (f":{position}" if position else "")
    try:
        read = incoming.read(events)
    except EventInvalidError as error:
        raise ApiError(422, f"the webhook {name!r} makes no event of this: {error}", code=error.code) from error
    now = server.runtime.clock.now()
    stored = Outbox(server.runtime).store([event.to_row(ids.new(now), now, by=sender.told) for event in read])
    return list(zip([each.event.name for each in read], stored, strict=True))
