"""A function's configuration, as the engine reads it from the wire form stored with the function."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from inngest_celery.engine.durations import parse_duration
from inngest_celery.engine.retries import DEFAULT_RETRIES

CANCEL_WINDOW_MS = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class EventTrigger:
    event: str
    expression: str | None


@dataclass(frozen=True, slots=True)
class CronTrigger:
    cron: str
    jitter: str | None


@dataclass(frozen=True, slots=True)
class CancelOn:
    event: str
    expression: str | None
    window_ms: int


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """What decides how a function's runs start, retry, end and are cancelled. Times are milliseconds."""

    id: str
    name: str
    retries: int
    events: tuple[EventTrigger, ...]
    crons: tuple[CronTrigger, ...]
    cancel: tuple[CancelOn, ...]
    start_timeout_ms: int | None
    finish_timeout_ms: int | None

    @property
    def max_attempts(self) -> int:
        return self.retries + 1


@lru_cache(maxsize=4096)
def read_spec(config: str) -> FunctionSpec:
    """Read a stored configuration (JSON text)."""
    raw = json.loads(config)
    step: dict[str, Any] = next(iter((raw.get("steps") or {}).values()), {})
    retries = (step.get("retries") or {}).get("attempts", raw.get("retries"))
    timeouts = raw.get("timeouts") or {}
    triggers = raw.get("triggers") or []
    return FunctionSpec(
        id=raw["id"],
        name=raw.get("name", raw["id"]),
        retries=DEFAULT_RETRIES if retries is None else int(retries),
        events=tuple(EventTrigger(each["event"], each.get("expression")) for each in triggers if "event" in each),
        crons=tuple(CronTrigger(each["cron"], each.get("jitter")) for each in triggers if "cron" in each),
        cancel=tuple(
            CancelOn(each["event"], each.get("if"), _optional_ms(each.get("timeout")) or CANCEL_WINDOW_MS)
            for each in raw.get("cancel") or []
        ),
        start_timeout_ms=_optional_ms(timeouts.get("start")),
        finish_timeout_ms=_optional_ms(timeouts.get("finish")),
    )


def _optional_ms(text: str | None) -> int | None:
    return parse_duration(text) if text else None
