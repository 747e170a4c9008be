"""From what a service has sent to events."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from inngest_celery.engine import expressions
from inngest_celery.server.errors import ApiError
from inngest_celery.server.webhooks.signatures import Delivery
from inngest_celery.webhooks import Webhook


def events_of(webhook: Webhook, name: str, body: Any, delivery: Delivery) -> list[Any]:
    """Make events of a delivery; none, if it is of no interest.

    Raises:
        ApiError: 422, the transform has failed, and why.
    """
    if webhook.transform is not None:
        return _transformed(webhook.transform, body, delivery)
    event_name = _name(webhook, name, body, delivery)
    if not event_name:
        return []
    return [{"name": event_name, "data": body if isinstance(body, dict) else {"body": body}}]


def _name(webhook: Webhook, name: str, body: Any, delivery: Delivery) -> object:
    if webhook.name is None:
        return f"webhook/{name}"
    variables = {"body": body, "headers": dict(delivery.headers), "query": dict(delivery.query)}
    try:
        return expressions.compile(webhook.name, names=frozenset(variables)).evaluate(variables)
    except expressions.EvaluationError as error:
        raise _failed(f"its name expression has no value: {error}") from error


def _transformed(path: str, body: Any, delivery: Delivery) -> list[Any]:
    module, _, attribute = path.replace(":", ".").rpartition(".")
    try:
        transform = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ApiError(500, f"the transform {path} cannot be imported: {error}", code="transform_missing") from error
    try:
        made = transform(body, dict(delivery.headers), dict(delivery.query))
    except Exception as error:
        raise _failed(f"{path} raised {type(error).__name__}: {error}") from error
    if made is None:
        return []
    return list(made) if isinstance(made, list | tuple) else [made]


def _failed(why: str) -> ApiError:
    return ApiError(422, f"the webhook makes no event of this: {why}", code="transform_failed")
