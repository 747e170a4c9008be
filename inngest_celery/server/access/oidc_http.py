"""What is asked of an identity provider, and how its errors are told."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx

from inngest_celery.server.access.hosts import is_loopback
from inngest_celery.server.errors import ApiError

_TIMEOUT_S = 10.0


def ask(request: httpx.Request, auth: httpx.Auth | None = None) -> dict[str, Any]:
    """Send a request, and give the JSON object that is its answer.

    Raises:
        ApiError: 401 ``oidc_refused``: the provider says no; 502 ``oidc_unavailable``: it does not answer as it should.
    """
    require_safe(str(request.url), "inngest_oidc_issuer")
    try:
        with httpx.Client(timeout=_TIMEOUT_S) as client:
            response = client.send(request, auth=auth)
        given = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise unusable(f"{request.url.host} does not answer as it should: {error}") from error
    if response.status_code == 400 and isinstance(given, dict):
        raise refused(str(given.get("error_description") or given.get("error")))
    if response.status_code != 200 or not isinstance(given, dict):
        raise unusable(f"{request.url.host} answers with status {response.status_code}")
    return given


def require_safe(url: str, name: str) -> None:
    """Refuse to ask over a connection that anybody could read or change.

    Raises:
        ApiError: 502 ``oidc_unavailable``.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise unusable(f"{name} has to be an address with https://")


def unusable(reason: str) -> ApiError:
    """Give the error for a provider that does not do what it should."""
    return ApiError(502, f"The identity provider cannot be used: {reason}.", code="oidc_unavailable")


def refused(reason: str) -> ApiError:
    """Give the error for somebody whom the provider has not let in."""
    return ApiError(401, f"The identity provider did not let you in: {reason}. Try again.", code="oidc_refused")
