"""Durable endpoints: a run is an HTTP request that the app has got, and the app goes on with it when it gets it again.

The app executes the run itself, and reports it. What it cannot go on with at once it leaves to us: then we make the
same request, with headers that name the run. The SDK fetches by itself what is recorded of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inngest_celery.drivers.http.request import DISCOVERY, Call, headers_of
from inngest_celery.drivers.http.signing import canonical

# What the event of such a run is called.
HTTP_REQUEST = "inngest/http.request"
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9._~-]+")
# SDKs read, and sign, the bodies of these only.
_WITH_SIGNED_BODY = frozenset({"POST", "PUT"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request to make."""

    method: str
    url: str
    body: bytes
    headers: dict[str, str]


def app_of(data: Mapping[str, Any]) -> str:
    """Give the app of an endpoint: an app that only serves endpoints tells no name, so it is called by its host.

    Example:
        >>> app_of({"domain": "http://localhost:3000"})
        'localhost:3000'
    """
    return str(data["domain"]).partition("://")[2]


def function_of(data: Mapping[str, Any]) -> str:
    """Give the id of an endpoint within its app: the one that it was given, else its method and path.

    Example:
        >>> function_of({"method": "POST", "path": "/api/orders/", "fn": ""})
        'POST-api-orders'
    """
    return _NOT_IN_IDS.sub("-", data.get("fn") or f"{data['method']} {data['path']}").strip("-")[:150]


def config_of(data: Mapping[str, Any], retries: int) -> dict[str, Any]:
    """Give an endpoint's configuration, as that of a function stands on the wire. No event triggers it."""
    url = f"{data['domain']}{data['path']}"
    return {
        "id": f"{app_of(data)}-{function_of(data)}",
        "name": data.get("fn") or f"{data['method']} {data['path']}",
        "endpoint": True,
        "triggers": [],
        "steps": {
            "step": {
                "id": "step",
                "name": "step",
                "runtime": {"type": "http", "url": url},
                "retries": {"attempts": retries},
            }
        },
    }


def request_of(call: Call, *, key: str | None, kind: str, at_s: int) -> Request:
    """Give the request that lets an endpoint go on with a run.

    Args:
        call: what a function would be called with.
        key: what to sign it with, if there is a key.
        kind: what this server is: ``dev`` or ``cloud``.
        at_s: when, in seconds since 1970.

    Raises:
        ValueError: the run is for something else than an HTTP request.
    """
    event = call.events[0]
    data = json.loads(event.data)
    if event.name != HTTP_REQUEST:
        raise ValueError(f"{call.function_id} is an HTTP endpoint: request {call.url}, it cannot be invoked")
    body = str(data.get("body") or "").encode()
    headers = headers_of(call, _signed_part(data["method"], body), key=key, kind=kind, at_s=at_s)
    # An SDK knows by this header, even an empty one, that it is not a user who asks.
    headers.setdefault("X-Inngest-Signature", "")
    if data.get("content_type"):
        headers["Content-Type"] = data["content_type"]
    if call.step == DISCOVERY and call.plan_only:
        headers["X-Inngest-Force-Step-Plan"] = "true"
    query = f"?{data['query_params']}" if data.get("query_params") else ""
    return Request(data["method"], f"{data['domain']}{data['path']}{query}", body, headers)


def _signed_part(method: str, body: bytes) -> bytes:
    if method not in _WITH_SIGNED_BODY:
        return b""
    try:
        return canonical(json.loads(body))
    except ValueError:
        return body
