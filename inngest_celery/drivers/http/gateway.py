"""Requests that a function has us make: ``step.fetch`` and ``step.ai.infer``. No app is kept waiting meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from inngest_celery.drivers.http import transport
from inngest_celery.drivers.native.gateway import authorised
from inngest_celery.engine.report import Failure
from inngest_celery.opcodes import Opcode

_TIMEOUT_S = 600.0
_SHOWN = 2000


class GatewayFailed(Exception):
    """A request brought nothing that its step could give; ``failure`` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def perform(request: Mapping[str, Any], *, private: bool = True) -> str:
    """Make a request.

    Args:
        request: what the operation asked for, and which operation it was.
        private: whether addresses of this network may be called too.

    Returns:
        JSON text of what the step gives.

    Raises:
        GatewayFailed: there was no answer, or a model's provider did not answer well.
    """
    return _infer(request, private) if request["op"] == Opcode.AI_GATEWAY.value else _fetch(request, private)


def _fetch(request: Mapping[str, Any], private: bool) -> str:
    """Make a plain request. Whatever is answered, with whatever status, is its result."""
    headers = {str(name): str(value) for name, value in (request.get("headers") or {}).items()}
    method = str(request.get("method") or "GET").upper()
    response = _send(method, str(request.get("url")), _body(request.get("body")), headers, private)
    found = {
        "url": str(request.get("url")),
        "headers": response.headers,
        "body": response.body.decode(errors="replace"),
        "status_code": response.status,
    }
    return json.dumps(found, ensure_ascii=False)


def _infer(request: Mapping[str, Any], private: bool) -> str:
    """Ask a model. Its provider's answer is the result, as it came."""
    kind, key = str(request.get("format") or ""), str(request.get("auth_key") or "")
    headers, params = {"Authorization": key}, dict[str, str]()
    if kind != "bedrock":
        headers, params = authorised(kind, key)
    if kind == "gemini" and key:
        params = {"key": key}
    headers |= {"Content-Type": "application/json"} | dict(request.get("headers") or {})
    response = _send("POST", _with(str(request.get("url")), params), _body(request.get("body")), headers, private)
    text = response.body.decode(errors="replace")
    if response.status > 299:
        raise _failed("AIGatewayError", f"status {response.status} from the provider: {text[:_SHOWN]}")
    try:
        json.loads(text)
    except ValueError:
        raise _failed("AIGatewayError", f"the provider's answer is not JSON: {text[:_SHOWN]}") from None
    return text


def _send(method: str, url: str, body: bytes, headers: dict[str, str], private: bool) -> transport.Response:
    if urlsplit(url).scheme not in ("http", "https"):
        raise _failed("GatewayError", f"{url[:200]!r} is no http or https address", retriable=False)
    try:
        return transport.send(method, url, body, headers, private=private, timeout_s=_TIMEOUT_S)
    except transport.NoResponse as error:
        raise _failed("GatewayError", error.failure.message, retriable=error.failure.retriable) from error


def _failed(name: str, message: str, *, retriable: bool = True) -> GatewayFailed:
    return GatewayFailed(Failure(name, message, code="gateway_failed", retriable=retriable))


def _body(given: object) -> bytes:
    """Give the bytes to send: JSON as it is, any other text as a JSON string."""
    if given is None:
        return b""
    if isinstance(given, str):
        try:
            json.loads(given)
        except ValueError:
            return json.dumps(given).encode()
        return given.encode()
    return json.dumps(given, ensure_ascii=False).encode()


def _with(url: str, params: Mapping[str, str]) -> str:
    if not params:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, urlencode(params)]))))
