"""How services prove that a delivery is theirs, and how they name it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inngest_celery.server.errors import ApiError
from inngest_celery.webhooks import Webhook

# A delivery that was recorded by somebody is not worth anything after so long.
_TOLERANCE_S = 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came: the body as bytes, headers with names in lower case, and the query."""

    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str]


def check(webhook: Webhook, delivery: Delivery, now_s: int) -> str | None:
    """Check a delivery's signature.

    Returns:
        The id of the delivery, which is the same when it is sent again; ``None`` if it has none.

    Raises:
        ApiError: 401, it is not signed, not with this secret, or too long ago.
    """
    if webhook.provider is None:
        return delivery.headers.get("webhook-id")
    assert webhook.secret is not None
    return _CHECKS[webhook.provider](webhook.secret, delivery, now_s)


def _github(secret: str, delivery: Delivery, now_s: int) -> str | None:
    expected = "sha256=" + hmac.new(secret.encode(), delivery.body, hashlib.sha256).hexdigest()
    _require(delivery.headers.get("x-hub-signature-256"), [expected])
    return delivery.headers.get("x-github-delivery")


def _stripe(secret: str, delivery: Delivery, now_s: int) -> str | None:
    parts = [part.partition("=") for part in delivery.headers.get("stripe-signature", "").split(",")]
    at = next((value for name, _, value in parts if name.strip() == "t"), "")
    _require_recent(at, now_s)
    expected = hmac.new(secret.encode(), at.encode() + b"." + delivery.body, hashlib.sha256).hexdigest()
    _require(expected, [value for name, _, value in parts if name.strip() == "v1"])
    try:
        found = json.loads(delivery.body)
    except ValueError:
        return None
    return str(found["id"]) if isinstance(found, dict) and found.get("id") else None


def _standard(secret: str, delivery: Delivery, now_s: int) -> str | None:
    headers = delivery.headers
    delivery_id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    _require_recent(at, now_s)
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = secret.encode()
    signed = f"{delivery_id}.{at}.".encode() + delivery.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [part.partition(",") for part in headers.get("webhook-signature", "").split()]
    _require(expected, [value for version, _, value in given if version == "v1"])
    return delivery_id or None


_CHECKS: dict[str, Callable[[str, Delivery, int], str | None]] = {
    "github": _github,
    "stripe": _stripe,
    "standard": _standard,
}


def _require(signature: str | None, expected: list[str]) -> None:
    given = (signature or "").encode()
    if not any([hmac.compare_digest(given, each.encode()) for each in expected]):  # noqa: C419  all take as long
        raise ApiError(
            401, "the signature is missing or was not made with this webhook's secret", code="signature_invalid"
        )


def _require_recent(at: str, now_s: int) -> None:
    if not (at.isascii() and at.isdigit() and len(at) < 15) or abs(now_s - int(at)) > _TOLERANCE_S:
        raise ApiError(
            401, f"the delivery was signed more than {_TOLERANCE_S} s ago, or in the future", code="signature_expired"
        )
