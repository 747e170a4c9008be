"""A function's configuration as an SDK registers it: checked by the rules of Python functions, and kept as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inngest_celery.engine.durations import parse_duration
from inngest_celery.engine.spec import read_spec
from inngest_celery.sdk import config as options
from inngest_celery.sdk import rules
from inngest_celery.sdk.errors import ErrorCode
from inngest_celery.sdk.function import FunctionOpts
from inngest_celery.server.addresses import normalised
from inngest_celery.server.errors import ApiError
from inngest_celery.store.functions import FunctionRow

_LONGEST_ID = 255
_NOT_IN_IDS = re.compile(r"[^a-z0-9]+")


class ConfigError(ValueError):
    """A configuration cannot be used; ``problems`` has a code and a message for each reason."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(problems[0][1])
        self.problems = problems


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Trigger(_Wire):
    event: str | None = None
    expression: str | None = None
    cron: str | None = None
    jitter: str | None = None


class _Concurrency(_Wire):
    limit: int
    key: str | None = None
    scope: str | None = None


class _Levels(_Wire):
    fn: list[_Concurrency] = Field(default_factory=list)
    step: list[_Concurrency] = Field(default_factory=list)


class _Rate(_Wire):
    limit: int = 1
    period: str
    burst: int | None = None
    key: str | None = None


class _Debounce(_Wire):
    period: str
    timeout: str | None = None
    key: str | None = None


class _Batch(_Wire):
    max_size: int = Field(alias="maxSize")
    timeout: str | None = None
    key: str | None = None
    condition: str | None = Field(None, alias="if")


class _Priority(_Wire):
    run: str | None = None


class _Singleton(_Wire):
    key: str | None = None
    mode: Literal["skip", "cancel"] = "skip"


class _Cancel(_Wire):
    event: str
    condition: str | None = Field(None, alias="if")
    timeout: str | None = None


class _Timeouts(_Wire):
    start: str | None = None
    finish: str | None = None


class _Runtime(_Wire):
    type: str = "http"
    url: str


class _Retries(_Wire):
    attempts: int | None = None


class _Step(_Wire):
    id: str = "step"
    name: str = Field("step", min_length=1)
    runtime: _Runtime
    retries: _Retries | None = None


class _Function(_Wire):
    id: str | None = None
    name: str = Field(min_length=1)
    triggers: list[_Trigger] = Field(default_factory=list, max_length=rules.MAX_TRIGGERS)
    concurrency: int | _Concurrency | list[_Concurrency] | _Levels | None = Field(None, union_mode="left_to_right")
    throttle: _Rate | None = None
    rate_limit: _Rate | None = Field(None, alias="rateLimit")
    idempotency: str | None = None
    debounce: _Debounce | None = None
    batch: _Batch | None = Field(None, alias="batchEvents")
    priority: _Priority | None = None
    singleton: _Singleton | None = None
    cancel: list[_Cancel] | None = None
    timeouts: _Timeouts | None = None
    retries: int | None = None
    steps: dict[str, _Step] = Field(min_length=1, max_length=1)


def read(given: dict[str, Any], app_id: str, app_url: str) -> dict[str, Any]:
    """Check a function's configuration.

    Args:
        given: as it was registered.
        app_id: the app.
        app_url: where the app is served, for functions that name no address of their own.

    Returns:
        The configuration to keep.

    Raises:
        ConfigError: it cannot be used.
    """
    cleaned = {name: value for name, value in given.items() if value is not None}
    try:
        function = _Function.model_validate(cleaned)
    except ValidationError as error:
        raise ConfigError([_problem(given, item) for item in error.errors()]) from error
    function_id = function.id or f"{app_id}-{_NOT_IN_IDS.sub('-', function.name.lower()).strip('-')}"
    try:
        opts, triggers = _options(function, function_id), [_trigger(each) for each in function.triggers]
    except ValueError as error:
        raise ConfigError([("config_invalid", f"{function.name}: {error}")]) from error
    problems = [
        (_CODES.get(code, code), f"{function.name}: {path}: {message}")
        for path, code, message in rules.option_problems(opts, triggers)
    ]
    if len(function_id) > _LONGEST_ID:
        problems.append(("config_invalid", f"{function.name}: its id is longer than {_LONGEST_ID} characters"))
    if problems:
        raise ConfigError(problems)
    name, step = next(iter(function.steps.items()))
    try:
        url = normalised(step.runtime.url or app_url, keep_call=True)
    except ApiError as error:
        raise ConfigError([("url_invalid", f"{function.name}: {error}")]) from error
    written = dict(cleaned["steps"][name])
    written["runtime"] = {"type": step.runtime.type, "url": url}
    return cleaned | {"id": function_id, "triggers": cleaned.get("triggers", []), "steps": {name: written}}


def cancelling_events(rows: Iterable[FunctionRow]) -> set[str]:
    """Give the names of the events that cancel runs of these functions."""
    return {cancel.event for row in rows for cancel in read_spec(row.config).cancel}


_CODES = {ErrorCode.FUNCTION_CONFIG_INVALID.value: "config_invalid"}


def _problem(given: dict[str, Any], item: Any) -> tuple[str, str]:
    place = ".".join(str(part) for part in item["loc"])
    return "config_invalid", f"{given.get('name') or given.get('id') or 'a function'}: {place}: {item['msg']}"


def _trigger(given: _Trigger) -> options.TriggerCron | options.TriggerEvent:
    if (given.event is None) == (given.cron is None):
        raise ValueError("a trigger has either an event or a cron")
    if given.cron is not None:
        return options.TriggerCron(cron=given.cron, jitter=given.jitter)
    assert given.event is not None
    return options.TriggerEvent(event=given.event, expression=given.expression or None)


def _options(given: _Function, function_id: str) -> FunctionOpts:
    """Give the options as Python code would have them. They are only looked at: lengths of time may be odd ones."""
    step = next(iter(given.steps.values()))
    attempts = step.retries.attempts if step.retries else None
    return FunctionOpts.model_construct(
        fully_qualified_id=function_id,
        local_id=function_id,
        name=given.name,
        batch_events=given.batch
        and options.Batch.model_construct(
            max_size=given.batch.max_size,
            timeout=_time(given.batch.timeout),
            key=given.batch.key,
            if_exp=given.batch.condition,
        ),
        cancel=[_cancel(each) for each in given.cancel or []],
        concurrency=_concurrency(given.concurrency),
        debounce=given.debounce
        and options.Debounce.model_construct(
            key=given.debounce.key, period=_period(given.debounce.period), timeout=_time(given.debounce.timeout)
        ),
        idempotency=given.idempotency,
        priority=given.priority and given.priority.run and options.Priority.model_construct(run=given.priority.run),
        rate_limit=given.rate_limit
        and options.RateLimit.model_construct(
            key=given.rate_limit.key, limit=given.rate_limit.limit, period=_period(given.rate_limit.period)
        ),
        retries=given.retries if attempts is None else attempts,
        singleton=given.singleton and options.Singleton(key=given.singleton.key, mode=given.singleton.mode),
        throttle=given.throttle
        and options.Throttle.model_construct(
            key=given.throttle.key,
            # The official server takes 0 for 1.
            limit=max(given.throttle.limit, 1),
            period=_period(given.throttle.period),
            burst=given.throttle.burst,
        ),
        timeouts=given.timeouts
        and options.Timeouts.model_construct(start=_time(given.timeouts.start), finish=_time(given.timeouts.finish)),
    )


def _concurrency(given: Any) -> list[options.Concurrency] | options.ConcurrencyLevels:
    if isinstance(given, _Levels) and (given.fn or given.step):
        return options.ConcurrencyLevels.model_construct(
            fn=[_limit(each) for each in given.fn], step=[_limit(each) for each in given.step]
        )
    if given is None or isinstance(given, _Levels):
        return []
    if isinstance(given, int):
        return [options.Concurrency(limit=given)]
    return [_limit(each) for each in (given if isinstance(given, list) else [given])]


def _limit(given: _Concurrency) -> options.Concurrency:
    scope = (given.scope or "fn").lower()
    if scope not in ("fn", "env", "account"):
        raise ValueError(f"concurrency: there is no scope {scope!r}; known: fn, env, account")
    return options.Concurrency.model_construct(key=given.key, limit=given.limit, scope=scope)


def _cancel(given: _Cancel) -> options.Cancel:
    return options.Cancel.model_construct(
        event=given.event, if_exp=given.condition or None, timeout=_time(given.timeout)
    )


def _period(text: str) -> int:
    milliseconds = parse_duration(text)
    if milliseconds < 1000:
        raise ValueError(f"a period is at least 1 second, not {text}")
    return milliseconds


def _time(text: str | None) -> int | None:
    return parse_duration(text) if text else None
