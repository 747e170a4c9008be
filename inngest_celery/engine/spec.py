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
class Concurrency:
    """At most so many at a time: steps that execute, or runs that have started and not ended.

    Attributes:
        policy: its name within the function, such as ``concurrency.0``.
        scope: who shares it: ``fn``, ``env`` or ``account``.
    """

    policy: str
    limit: int
    key: str | None
    scope: str


@dataclass(frozen=True, slots=True)
class Rate:
    """So many starts in a period: a throttle, or a rate limit."""

    limit: int
    period_ms: int
    burst: int
    key: str | None


@dataclass(frozen=True, slots=True)
class Debounce:
    period_ms: int
    timeout_ms: int | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    max_size: int
    timeout_ms: int
    key: str | None
    condition: str | None


@dataclass(frozen=True, slots=True)
class Singleton:
    key: str | None
    cancels: bool


@dataclass(frozen=True, slots=True)
class Budget:
    """The steps that report what they cost may report so much in a sliding window.

    Attributes:
        cost: an expression over a step's output; it tells the cost of a step that does not report one itself.
        mode: what becomes of further steps: ``queue`` or ``stop``.
    """

    limit: float
    period_ms: int
    key: str | None
    cost: str | None
    mode: str


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """What decides how a function's runs start, retry, end and are cancelled. Times are milliseconds.

    Attributes:
        concurrency: limits of steps that execute.
        run_concurrency: limits of runs from their start to their end.
        idempotency: an expression; one run a day for each value of it.
        priority: an expression that gives the seconds by which a run goes ahead.
        shared: under which name its throttle and its own concurrency are shared with whoever gives the same name.
        is_task: whether it is no function, but an ordinary Celery task that has limits.
        url: where it is called, if it is a function of an app that is called over the wire.
        is_endpoint: whether its runs are HTTP requests that its app has got, see ``drivers.http.endpoints``.
    """

    id: str
    name: str
    retries: int
    events: tuple[EventTrigger, ...]
    crons: tuple[CronTrigger, ...]
    cancel: tuple[CancelOn, ...]
    start_timeout_ms: int | None
    finish_timeout_ms: int | None
    concurrency: tuple[Concurrency, ...] = ()
    run_concurrency: tuple[Concurrency, ...] = ()
    throttle: Rate | None = None
    rate_limit: Rate | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    singleton: Singleton | None = None
    idempotency: str | None = None
    priority: str | None = None
    budget: Budget | None = None
    shared: str | None = None
    is_task: bool = False
    url: str | None = None
    is_endpoint: bool = False

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
        concurrency=_concurrency(raw.get("concurrency"), "step"),
        run_concurrency=_concurrency(raw.get("concurrency"), "fn"),
        throttle=_rate(raw.get("throttle")),
        rate_limit=_rate(raw.get("rateLimit")),
        debounce=_debounce(raw.get("debounce")),
        batch=_batch(raw.get("batchEvents")),
        singleton=_singleton(raw.get("singleton")),
        idempotency=raw.get("idempotency"),
        priority=(raw.get("priority") or {}).get("run"),
        budget=_budget(raw.get("budget")),
        shared=raw.get("sharedLimits"),
        is_task=bool(raw.get("task")),
        url=(step.get("runtime") or {}).get("url"),
        is_endpoint=bool(raw.get("endpoint")),
    )


_POLICY = {"step": "concurrency", "fn": "run_concurrency"}


def _concurrency(raw: Any, level: str) -> tuple[Concurrency, ...]:
    """Read the limits of one level: ``5``, one limit, a list, or ``{"fn": […], "step": […]}``. 0 is no limit."""
    if isinstance(raw, dict) and not raw.keys().isdisjoint(_POLICY):
        given = raw.get(level)
    else:
        given = raw if level == "step" else None
    if given is None:
        return ()
    limits = given if isinstance(given, list) else [given]
    read = [each if isinstance(each, dict) else {"limit": each} for each in limits]
    return tuple(
        Concurrency(
            f"{_POLICY[level]}.{index}",
            int(each.get("limit") or 0),
            each.get("key"),
            str(each.get("scope") or "fn").lower(),
        )
        for index, each in enumerate(read)
        if each.get("limit")
    )


def _rate(raw: dict[str, Any] | None) -> Rate | None:
    if not raw:
        return None
    limit = max(int(raw["limit"]), 1)
    return Rate(limit, parse_duration(raw["period"]), int(raw.get("burst") or 0), raw.get("key"))


def _debounce(raw: dict[str, Any] | None) -> Debounce | None:
    if not raw:
        return None
    return Debounce(parse_duration(raw["period"]), _optional_ms(raw.get("timeout")), raw.get("key"))


def _batch(raw: dict[str, Any] | None) -> Batch | None:
    if not raw:
        return None
    return Batch(int(raw["maxSize"]), parse_duration(raw["timeout"]), raw.get("key"), raw.get("if"))


def _budget(raw: dict[str, Any] | None) -> Budget | None:
    if not raw:
        return None
    return Budget(
        float(raw["limit"]), parse_duration(raw["period"]), raw.get("key"), raw.get("cost"), raw.get("mode") or "queue"
    )


def _singleton(raw: dict[str, Any] | None) -> Singleton | None:
    return Singleton(raw.get("key"), raw.get("mode") == "cancel") if raw else None


def _optional_ms(text: str | None) -> int | None:
    return parse_duration(text) if text else None
