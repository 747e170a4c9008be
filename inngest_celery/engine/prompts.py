"""What a step has asked a model: who was asked, which model, and with what. Never a key, a header or an address.

It is JSON: ``format`` of the request, ``provider`` (a host's name), ``model``, and ``body``. Of a body that is larger
than a step's output may be only ``bytes`` and ``sha256`` are kept; nothing of one that the app may encrypt by itself.
Where a step has an outcome this stands with it, under ``asked`` in what the step's row keeps besides its memo; of an
attempt that failed before, under ``asked`` in its error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from inngest_celery.engine.keyless import keyless
from inngest_celery.engine.limits import STEP_BYTES, size_of
from inngest_celery.masking import Masker
from inngest_celery.masking.marks import REDACTED
from inngest_celery.masking.sealed import hidden
from inngest_celery.sdk.jsonable import encode

ASKED = "asked"
# Where a provider's requests hold what is said to the model. All else are parameters.
_SAID = frozenset(
    {"messages", "system", "prompt", "input", "instructions", "contents", "systemInstruction", "system_instruction"}
)
_IN_ADDRESS = re.compile(r"/models?/([^/:?]+)")


def of_request(opts: Mapping[str, Any], *, keeps_body: bool = True) -> str | None:
    """Give what is kept of a request that we make ourselves (``step.ai.infer``).

    Args:
        opts: of the operation.
        keeps_body: whether the body may be kept at all.

    Returns:
        JSON text, or ``None`` if the body is no JSON: then nothing was asked.

    Raises:
        SecretError: a secret is in the body, and cannot be sealed.

    Example:
        >>> of_request({"format": "openai-chat", "url": "https://u@ai.example/v1?key=k", "body": {"model": "m"}})
        '{"format":"openai-chat","provider":"ai.example","model":"m","body":{"model":"m"}}'
    """
    body = opts.get("body")
    if isinstance(body, str):
        with contextlib.suppress(ValueError):
            body = json.loads(body)
    provider, model = _of_address(str(opts.get("url") or ""))
    head = {"format": opts.get("format"), "provider": provider, "model": _model_in(body) or model}
    return _kept(head, body, str(opts.get("auth_key") or "")) if keeps_body else encode(head)


def of_wrapped(opts: Mapping[str, Any]) -> str | None:
    """Give what is kept of a call that an app makes in a step of its own (``step.ai.wrap``); ``None`` of another step.

    Example:
        >>> of_wrapped({"type": "step.ai.wrap", "input": [{"model": "m", "prompt": "hi"}]})
        '{"format":null,"provider":null,"model":"m","body":[{"model":"m","prompt":"hi"}]}'
    """
    if opts.get("type") != "step.ai.wrap" or opts.get("input") is None:
        return None
    arguments = opts["input"]
    first = arguments[0] if isinstance(arguments, list) and arguments else arguments
    return _kept({"format": None, "provider": None, "model": _model_in(first)}, arguments)


def _of_address(url: str) -> tuple[str | None, str | None]:
    """Give the host of an address, and the model that it names, as those of Gemini and Bedrock do."""
    try:
        address = urlsplit(url)
        named = _IN_ADDRESS.search(address.path)
        return address.hostname, unquote(named[1]) if named else None
    except ValueError:
        return None, None


def _model_in(body: object) -> str | None:
    model = body.get("model") if isinstance(body, dict) else None
    return model if isinstance(model, str) else None


def _kept(head: dict[str, object], body: object, key: str = "") -> str | None:
    try:
        text = keyless(encode(body), key)
    except (TypeError, ValueError, RecursionError):
        # What is no JSON was not sent.
        return None
    if size_of(text) > STEP_BYTES:
        return encode({**head, "bytes": size_of(text), "sha256": hashlib.sha256(text.encode()).hexdigest()})
    return f'{encode(head)[:-1]},"body":{text}}}'


def of_step(asked: str) -> str:
    """Give what the row of a step keeps besides its memo."""
    return f'{{"{ASKED}":{asked}}}'


def with_error(error: str, asked: str) -> str:
    """Put what was asked to the JSON text of the error that it ended with."""
    return json.dumps({**json.loads(error), ASKED: json.loads(asked)}, ensure_ascii=False)


def in_step(waited: str | None) -> dict[str, Any] | None:
    """Read what a step has asked, from what its row keeps besides its memo."""
    return _found(json.loads(waited)) if waited is not None and f'"{ASKED}"' in waited else None


def in_error(error: str) -> dict[str, Any] | None:
    """Read what was asked in an attempt that failed."""
    return _found(json.loads(error)) if f'"{ASKED}"' in error else None


def without(error: str) -> str:
    """Give the error of an attempt alone."""
    if in_error(error) is None:
        return error
    return json.dumps({name: value for name, value in json.loads(error).items() if name != ASKED}, ensure_ascii=False)


def _found(kept: object) -> dict[str, Any] | None:
    asked = kept.get(ASKED) if isinstance(kept, dict) else None
    return asked if isinstance(asked, dict) else None


def parts_of(asked: Mapping[str, Any]) -> tuple[object, dict[str, Any]]:
    """Tell what was said to the model from the request's parameters.

    Returns:
        What was said, and the parameters.

    Example:
        >>> parts_of({"body": {"model": "m", "temperature": 0.2, "messages": []}})
        ({'messages': []}, {'temperature': 0.2})
    """
    body = asked.get("body")
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return body, {}
    said = {name: value for name, value in body.items() if name in _SAID}
    return said or None, {name: value for name, value in body.items() if name not in _SAID and name != "model"}


def masked(masker: Masker, asked: str, function_id: str | None, event: str | None) -> str:
    """Mask what is about to be stored of a request."""
    return encode(masked_value(masker, json.loads(asked), function_id, event))


def masked_value(masker: Masker, asked: dict[str, Any], function_id: str | None, event: str | None) -> dict[str, Any]:
    """Mask the body of a request; changes parsed JSON in place."""
    if "body" in asked:
        asked["body"] = masker.value(asked["body"], "prompt", event, function_id)
    return asked


def shown(masker: Masker, asked: dict[str, Any], function_id: str | None, event: str | None) -> dict[str, Any]:
    """Give what was asked as somebody may see it; changes parsed JSON in place.

    A prompt is made of events and of what steps gave, and no path tells where in it that stands: to whomever something
    is masked there, none of it is shown.
    """
    if "body" in asked and any(masker.hides(place, event, function_id) for place in ("data", "user", "output")):
        asked["body"] = REDACTED
    return hidden(masked_value(masker, asked, function_id, event))  # type: ignore[no-any-return]
