"""What is given to a model, or to its client, without what lets one in: keys, headers, credentials in addresses.

What stands in the text of a prompt is left alone: it is what was said.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from inngest_celery.masking.sealed import SHOWN
from inngest_celery.sdk.jsonable import encode

# Names of fields, without signs between their words.
_KEYS = frozenset(
    {"apikey", "xapikey", "authkey", "authorization", "accesstoken", "authtoken", "sessiontoken", "bearertoken"}
    | {"clientsecret", "apisecret", "secretkey", "secretaccesskey", "password"}
)
_HEADERS = frozenset({"headers", "defaultheaders"})
_ADDRESSES = frozenset({"baseurl", "endpoint"})
_TELLING = re.compile(r'(key|auth|authorization|token|secret|password|headers|url|endpoint)"\s*:', re.IGNORECASE)
# A shorter one may be any word.
_SHORTEST = 8


def keyless(text: str, key: str = "") -> str:
    """Take what lets one in out of JSON text.

    Args:
        text: what was given.
        key: the key that it was given with.

    Example:
        >>> keyless('{"apiKey":"sk-1","headers":{"x":"y"},"baseURL":"https://u@ai.example/v1?k=1","prompt":"hi"}')
        '{"apiKey":"[secret]","headers":{"x":"[secret]"},"baseURL":"https://ai.example/v1","prompt":"hi"}'
    """
    if len(key) >= _SHORTEST:
        text = text.replace(encode(key)[1:-1], SHOWN)
    return encode(_without_keys(json.loads(text))) if _TELLING.search(text) else text


def _without_keys(value: Any) -> Any:
    stack: list[Any] = [value]
    while stack:
        container = stack.pop()
        for name, item in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if isinstance(item, str):
                container[name] = _clean(name, item)
            elif isinstance(item, dict) and _plain(name) in _HEADERS:
                container[name] = dict.fromkeys(item, SHOWN)
            elif isinstance(item, dict | list):
                stack.append(item)
    return value


def _clean(name: object, text: str) -> str:
    if _plain(name) in _KEYS:
        return SHOWN
    return _without_credentials(text) if _plain(name) in _ADDRESSES else text


def _plain(name: object) -> str:
    return name.replace("-", "").replace("_", "").lower() if isinstance(name, str) else ""


def _without_credentials(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return SHOWN
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
