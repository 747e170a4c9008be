"""``step.ai.infer``: the request to a model's provider, made by the worker as the body of a step."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from inngest_celery.engine.backoff import parse_retry_after
from inngest_celery.sdk.errors import Error, RetryAfterError
from inngest_celery.sdk.secret import Secret

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S = 600


class AIGatewayError(Error):
    """The provider answered with an error, or did not answer. Tried again like any step. ``code`` is ``ai_gateway``."""

    code = "ai_gateway"


class AIBusyError(RetryAfterError):
    """The provider answered with an error and a ``Retry-After``: it is not asked again before that."""

    code = "ai_gateway"


def infer(opts: Mapping[str, Any]) -> object:
    """Post a request to a provider and give its answer as it came.

    Args:
        opts: ``url``, ``body``, ``headers``, ``auth_key`` and ``format`` of the call.

    Raises:
        AIGatewayError: the status is not a success, the answer is no JSON, or there was none.
        AIBusyError: the status is not a success, and the answer says when to ask again.
    """
    import httpx

    headers, params = authorised(str(opts["format"]), str(opts["auth_key"]))
    try:
        response = httpx.post(
            opts["url"],
            content=_sent(opts["body"]),
            headers={"content-type": "application/json", **headers, **(opts.get("headers") or {})},
            params=params or None,
            timeout=_TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        raise AIGatewayError(f"no answer from {httpx.URL(opts['url']).host}: {error}") from error
    if response.status_code > 299:
        raise _refusal(response)
    try:
        return response.json()
    except ValueError as error:
        raise AIGatewayError(f"the answer of {response.url.host} is not JSON: {response.text[:200]}") from error


def _sent(body: object) -> str:
    """Write a body as the provider gets it: with what is secret in it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_revealed)


def _revealed(value: object) -> object:
    if isinstance(value, Secret):
        return to_jsonable_python(value.get_secret_value())
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _refusal(response: httpx.Response) -> Error:
    """Give the error for an answer that is not a success."""
    message = f"status {response.status_code} from {response.url.host}: {response.text[:2000]}"
    # A provider's date is of the real clock, whatever ours says.
    wait = parse_retry_after(response.headers.get("retry-after", ""), now_ms=time.time_ns() // 1_000_000)
    return AIGatewayError(message) if wait is None else AIBusyError(message, wait)


def authorised(kind: str, key: str) -> tuple[dict[str, str], dict[str, str]]:
    """Give the headers and query parameters that carry a key, by the provider's format."""
    if kind == "anthropic":
        return {"x-api-key": key}, {}
    if kind == "gemini":
        # The adapter puts the key into the address.
        return {}, {}
    return {"Authorization": f"Bearer {key}"}, {}
