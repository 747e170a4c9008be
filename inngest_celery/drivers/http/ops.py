"""The operations in an SDK's answer: what a function has done, and what it asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inngest_celery.engine import expressions
from inngest_celery.engine.durations import parse_duration, parse_instant

_LONGEST_ID = 64
_LONGEST_NAME = 512
_YEAR = "365d"


@dataclass(frozen=True, slots=True)
class Op:
    """One operation.

    Attributes:
        code: its name in lower case: SDKs do not agree on the case.
        id: the hash of the step's id.
        name: the id as its author wrote it.
        opts: what it asks for.
        data: JSON text of what it gave.
        error: what it failed with.
    """

    code: str
    id: str
    name: str
    opts: Mapping[str, Any] = field(default_factory=dict)
    data: str = "null"
    error: dict[str, object] | None = None

    @property
    def races(self) -> bool:
        """Whether the function goes on as soon as one of the steps beside it is done."""
        return self.opts.get("parallelMode") == "race"


def read_ops(body: object, now: int) -> list[Op]:
    """Read the operations of an answer.

    Args:
        body: a list of them, or one.
        now: milliseconds; what waits until an instant is told how long that is.

    Raises:
        ValueError: one is no operation, or asks for what there is not.
    """
    given = body if isinstance(body, list) else [body]
    return [op for each in given if (op := _read(each, now)).code != "none"]


def _read(given: object, now: int) -> Op:
    if not isinstance(given, dict) or not isinstance(given.get("op"), str):
        raise ValueError(f"an operation is an object with an op, not {json.dumps(given)[:100]}")
    code = given["op"].lower()
    key = str(given.get("id") or "")
    if len(key) > _LONGEST_ID or (not key and code not in _WITHOUT_STEP):
        raise ValueError(f"{given['op']} has the id {key[:100]!r}; it should have up to {_LONGEST_ID} characters")
    userland = given.get("userland")
    written = userland.get("id") if isinstance(userland, dict) else None
    name = str(given.get("displayName") or written or given.get("name") or key)
    opts = given.get("opts") if isinstance(given.get("opts"), dict) else {}
    assert isinstance(opts, dict)
    error = given.get("error")
    read = _OPTS.get(code)
    return Op(
        code,
        key,
        name.replace("\0", "")[:_LONGEST_NAME],
        opts if read is None else {**opts, **read(opts, given, now)},
        json.dumps(given.get("data"), ensure_ascii=False),
        error if isinstance(error, dict) else None if error is None else {"message": str(error)},
    )


def _sleep(opts: dict[str, Any], op: dict[str, Any], now: int) -> dict[str, object]:
    # Older SDKs, and Python's, write it where others write a name.
    text = str(opts.get("duration") or op.get("name") or "")
    try:
        return {"until": now + parse_duration(text)}
    except ValueError:
        return {"until": max(parse_instant(text), now)}


def _wait_for_event(opts: dict[str, Any], op: dict[str, Any], now: int) -> dict[str, object]:
    # Python's SDK writes it where others write the step's name.
    event = opts.get("event") or op.get("name")
    if not event:
        raise ValueError("WaitForEvent names no event")
    condition = opts.get("if") or None
    if condition is not None:
        expressions.compile(str(condition), names=frozenset({"event", "async"}))
    return {"event": str(event), "timeout": _length(opts.get("timeout") or "0s", now), "if": condition}


def _wait_for_signal(opts: dict[str, Any], op: dict[str, Any], now: int) -> dict[str, object]:
    if not opts.get("signal"):
        raise ValueError("WaitForSignal names no signal")
    return {"timeout": _length(opts.get("timeout") or _YEAR, now), "conflict": opts.get("conflict") or "fail"}


def _invoke(opts: dict[str, Any], op: dict[str, Any], now: int) -> dict[str, object]:
    if not opts.get("function_id"):
        raise ValueError("InvokeFunction names no function")
    return {"timeout": _length(opts.get("timeout") or _YEAR, now), "payload": opts.get("payload") or {}}


def _length(text: object, now: int) -> str:
    """Give a length of time as a duration, whether it was written as one or as the instant of its end."""
    try:
        return f"{parse_duration(str(text))}ms"
    except ValueError:
        return f"{max(parse_instant(str(text)) - now, 0)}ms"


_WITHOUT_STEP = frozenset({"none", "discoveryrequest", "runcomplete", "syncruncomplete", "stepnotfound"})
_OPTS = {
    "sleep": _sleep,
    "waitforevent": _wait_for_event,
    "waitforsignal": _wait_for_signal,
    "invokefunction": _invoke,
}
