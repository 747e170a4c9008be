"""``step.ai.infer``: the request to a model's provider, made by the worker as the body of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inngest_celery.sdk.errors import Error

_TIMEOUT_S = 600


class AIGatewayError(Error):
    """The provider answered with an error, or did not answer. Tried again like any step. ``code`` is ``ai_gateway``."""

    code = "ai_gateway"


def infer(opts: Mapping[str, Any]) -> object:
    """Post a request to a provider and give its answer as it came.

    Args:
        opts: ``url``, ``body``, ``headers``, ``auth_key`` and ``format`` of the call.

    Raises:
        AIGatewayError: the status is not a success, the answer is no JSON, or there was none.
    """
    import httpx

    headers, params = authorised(str(opts["format"]), str(opts["auth_key"]))
    try:
        response = httpx.post(
            opts["url"],
            json=opts["body"],
            headers={**headers, **(opts.get("headers") or {})},
            params=params or None,
            timeout=_TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        raise AIGatewayError(f"no answer from {httpx.URL(opts['url']).host}: {error}") from error
    if response.status_code > 299:
        raise AIGatewayError(f"status {response.status_code} from {response.url.host}: {response.text[:2000]}")
    try:
        return response.json()
    except ValueError as error:
        raise AIGatewayError(f"the answer of {response.url.host} is not JSON: {response.text[:200]}") from error


def authorised(kind: str, key: str) -> tuple[dict[str, str], dict[str, str]]:
    """Give the headers and query parameters that carry a key, by the provider's format."""
    if kind == "anthropic":
        return {"x-api-key": key}, {}
    if kind == "gemini":
        # The adapter puts the key into the address.
        return {}, {}
    return {"Authorization": f"Bearer {key}"}, {}
