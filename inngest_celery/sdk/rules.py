"""What a function's options must obey, checked where the function is defined."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from inngest_celery.sdk import config, durations
from inngest_celery.sdk.errors import ErrorCode, FunctionConfigInvalidError
from inngest_celery.sdk.function import Function, FunctionOpts
from inngest_celery.sdk.middleware import Middleware, MiddlewareSync

MAX_RETRIES = 20
MAX_TRIGGERS = 10
MAX_CANCELS = 5
MAX_CONCURRENCY = 2
MAX_BATCH = 100
_LONGEST_NAME = 100
_LONGEST_PERIOD = 7 * durations.DAY
_LONGEST_WINDOW = 31 * durations.DAY

Problem: TypeAlias = tuple[str, str, str]
"""A path, the code of the rule, and what is wrong."""
Problems: TypeAlias = Iterator[Problem]
_INVALID = ErrorCode.FUNCTION_CONFIG_INVALID
_EVENT = frozenset({"event"})


def check(function: Function[Any]) -> None:
    """Refuse a function whose options cannot be used.

    Raises:
        FunctionConfigInvalidError: the first rule that is broken; its ``code`` and ``path`` say which and where.
    """
    for problems in (
        _identity(function.opts),
        _handlers(function),
        middleware_problems(function.middleware),
        _count(function.triggers),
        option_problems(function.opts, function.triggers),
    ):
        for path, code, message in problems:
            raise FunctionConfigInvalidError(message, code=code, path=path)


def option_problems(opts: FunctionOpts, triggers: Sequence[config.TriggerCron | config.TriggerEvent]) -> Problems:
    """Say what is wrong with a function's options and triggers, wherever the function is."""
    for problems in (
        _retries(opts),
        _triggers(triggers),
        _concurrency(opts.concurrency or []),
        rate_problems("throttle", opts.throttle),
        rate_problems("rate_limit", opts.rate_limit),
        rate_problems("debounce", opts.debounce),
        sharing_problems("shared_limits", opts.shared_limits, [opts.throttle, opts.concurrency]),
        _batch(opts.batch_events),
        _budget(opts.budget),
        _cancels(opts.cancel or []),
        _expressions(opts),
        _combinations(opts),
    ):
        yield from problems


def _identity(opts: FunctionOpts) -> Problems:
    if not opts.local_id.strip():
        yield "fn_id", _INVALID, 'the id is empty; give one that never changes, such as "send-invoice"'
    if len(opts.fully_qualified_id) > 255:
        yield "fn_id", _INVALID, f"app id and function id are longer than 255 characters: {opts.fully_qualified_id}"


def _handlers(function: Function[Any]) -> Problems:
    for path, handler in (("handler", function.handler), ("on_failure", function.on_failure)):
        if handler is not None and (problem := _handler_problem(handler)):
            yield path, _INVALID, problem
    if function.is_on_failure_handler_async in (None, function.is_handler_async):
        return
    kinds = ("an async", "a non-async") if function.is_handler_async else ("a non-async", "an async")
    message = f"{kinds[0]} function cannot have {kinds[1]} on_failure handler (function {function.local_id})"
    yield "on_failure", _INVALID, message


def _handler_problem(handler: Callable[..., object]) -> str | None:
    if not callable(handler):
        return f"{handler!r} is not a function; put @client.create_function(...) right above the function"
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        return "a generator cannot be a durable function; return the result, and do the work in steps"
    try:
        inspect.signature(handler).bind(object())
    except TypeError as error:
        return f"the handler is called with one argument, the context ({error}); steps are at ctx.step"
    except ValueError:
        return None  # Built in: it has no signature to look at.
    return None


def middleware_problems(members: Sequence[object]) -> Problems:
    """Say which of these make no middleware."""
    for member in members:
        if isinstance(member, Middleware | MiddlewareSync):
            kind = type(member).__name__
            yield "middleware", _INVALID, f"give the class {kind}, not an instance: each execution makes its own"
        elif not callable(member):
            yield "middleware", _INVALID, f"takes classes derived from Middleware or MiddlewareSync, not {member!r}"


def _retries(opts: FunctionOpts) -> Problems:
    if opts.retries is not None and not 0 <= opts.retries <= MAX_RETRIES:
        yield "retries", _INVALID, f"must be 0 to {MAX_RETRIES}, not {opts.retries}"


def _count(triggers: Sequence[config.TriggerCron | config.TriggerEvent]) -> Problems:
    if not 1 <= len(triggers) <= MAX_TRIGGERS:
        yield "trigger", _INVALID, f"a function has 1 to {MAX_TRIGGERS} triggers, not {len(triggers)}"


def _triggers(triggers: Sequence[config.TriggerCron | config.TriggerEvent]) -> Problems:
    seen = set()
    for index, trigger in enumerate(triggers):
        path = f"trigger[{index}]"
        if not isinstance(trigger, config.TriggerCron | config.TriggerEvent):
            yield path, _INVALID, f"is a TriggerEvent or a TriggerCron, not {type(trigger).__name__}"
        if isinstance(trigger, config.TriggerCron):
            key: tuple[str, str | None] = ("cron", trigger.cron)
            yield from _cron(trigger, path)
        else:
            key = (trigger.event, trigger.expression)
            yield from _event_name(trigger.event, f"{path}.event", wildcard=True)
            yield from expression_problems(trigger.expression, f"{path}.expression")
        if key in seen:
            yield path, _INVALID, "is the same as an earlier trigger; remove one of them"
        seen.add(key)


def _cron(trigger: config.TriggerCron, path: str) -> Problems:
    from inngest_celery.engine import cron
    from inngest_celery.engine.durations import parse_duration

    try:
        cron.parse(trigger.cron)
    except ValueError as error:
        yield f"{path}.cron", ErrorCode.SCHEDULE_INVALID, str(error)
    if trigger.jitter is None:
        return
    try:
        jitter = parse_duration(trigger.jitter)
    except ValueError as error:
        yield f"{path}.jitter", ErrorCode.SCHEDULE_INVALID, str(error)
    else:
        if not durations.SECOND <= jitter <= 300 * durations.SECOND:
            yield f"{path}.jitter", ErrorCode.SCHEDULE_INVALID, f"must be 1s to 5m, not {trigger.jitter}"


def _event_name(name: str, path: str, *, wildcard: bool) -> Problems:
    stem = name[:-2] if wildcard and name.endswith(("/*", ".*")) else name
    if not stem.strip():
        yield path, ErrorCode.EVENT_NAME_INVALID, 'the name is empty; write for example "shop/order.placed"'
    elif len(name) > 255:
        yield path, ErrorCode.EVENT_NAME_INVALID, f"at most 255 characters are allowed, not {len(name)}"
    elif "*" in stem:
        place = 'only at the end, as in "shop/*" or "shop/order.*"' if wildcard else "in triggers only"
        yield path, ErrorCode.EVENT_NAME_INVALID, f'"*" stands {place}'


def _concurrency(given: list[config.Concurrency] | config.ConcurrencyLevels) -> Problems:
    if isinstance(given, config.ConcurrencyLevels):
        yield from concurrency_problems("concurrency.fn", given.fn, most=1, least=1)
        yield from concurrency_problems("concurrency.step", given.step)
    else:
        yield from concurrency_problems("concurrency", given)


def concurrency_problems(
    level: str,
    limits: Sequence[config.Concurrency],
    names: frozenset[str] = _EVENT,
    *,
    most: int = MAX_CONCURRENCY,
    least: int = 0,
) -> Problems:
    """Say what is wrong with the limits of one level, whose keys may use these names."""
    if len(limits) > most:
        yield level, _INVALID, f"at most {most} {'limit is' if most == 1 else 'limits are'} allowed, not {len(limits)}"
    for index, limit in enumerate(limits):
        path = f"{level}[{index}]"
        if limit.limit < least:
            yield f"{path}.limit", ErrorCode.CONCURRENCY_LIMIT_INVALID, f"must be {least} or more, not {limit.limit}"
        if limit.scope in ("env", "account") and not limit.key:
            message = f'the scope "{limit.scope}" needs a key that says what shares the limit, such as key=\'"openai"\''
            yield f"{path}.key", _INVALID, message
        yield from expression_problems(limit.key, f"{path}.key", names)


def rate_problems(
    path: str, rate: config.Throttle | config.RateLimit | config.Debounce | None, names: frozenset[str] = _EVENT
) -> Problems:
    """Say what is wrong with something that has a period and a key, which may use these names."""
    if rate is None:
        return
    if not isinstance(rate, config.Debounce) and rate.limit < 1:
        yield f"{path}.limit", _INVALID, f"must be 1 or more, not {rate.limit}"
    longest = durations.DAY if isinstance(rate, config.RateLimit) else _LONGEST_PERIOD
    if durations.milliseconds(rate.period) > longest:
        yield f"{path}.period", _INVALID, f"is longer than {durations.to_text(longest)}"
    yield from expression_problems(rate.key, f"{path}.key", names)
    if isinstance(rate, config.Throttle) and (rate.burst or 0) < 0:
        yield f"{path}.burst", _INVALID, f"must be 0 or more, not {rate.burst}"


def sharing_problems(path: str, name: str | None, limits: Sequence[object]) -> Problems:
    """Say what is wrong with a name under which these limits are to be shared."""
    if name is None:
        return
    if not 1 <= len(name) <= _LONGEST_NAME or name != name.strip():
        yield path, _INVALID, f'is a name of up to {_LONGEST_NAME} characters, such as "vendor", not {name!r}'
    if not any(limits):
        yield path, _INVALID, f"there is nothing to share as {name!r}: give throttle= or concurrency= too"


def _batch(batch: config.Batch | None) -> Problems:
    if batch is None:
        return
    if not 2 <= batch.max_size <= MAX_BATCH:
        message = f"must be 2 to {MAX_BATCH}, not {batch.max_size}"
        yield "batch_events.max_size", ErrorCode.BATCH_SIZE_INVALID, message
    if batch.timeout is None:
        message = "is missing, so a batch that does not fill up would wait for ever; give for example timeout=5000"
        yield "batch_events.timeout", ErrorCode.BATCH_TIMEOUT_INVALID, message
    yield from expression_problems(batch.key, "batch_events.key", code=ErrorCode.BATCH_KEY_EXPRESSION_INVALID)
    yield from expression_problems(batch.if_exp, "batch_events.if_exp", code=ErrorCode.BATCH_IF_EXPRESSION_INVALID)


def _budget(budget: config.Budget | None) -> Problems:
    if budget is None:
        return
    if not (math.isfinite(budget.limit) and budget.limit > 0):
        yield "budget.limit", ErrorCode.BUDGET_INVALID, f"must be a number above 0, not {budget.limit}"
    if durations.milliseconds(budget.period) > _LONGEST_WINDOW:
        yield "budget.period", ErrorCode.BUDGET_INVALID, "is longer than 31 days"
    yield from expression_problems(budget.key, "budget.key")
    yield from expression_problems(budget.cost, "budget.cost", {"output", "event"})


def _cancels(cancels: list[config.Cancel]) -> Problems:
    if len(cancels) > MAX_CANCELS:
        yield "cancel", _INVALID, f"at most {MAX_CANCELS} are allowed, not {len(cancels)}"
    for index, cancel in enumerate(cancels):
        yield from _event_name(cancel.event, f"cancel[{index}].event", wildcard=False)
        yield from expression_problems(cancel.if_exp, f"cancel[{index}].if_exp", {"event", "async"}, restrictive=True)


def _expressions(opts: FunctionOpts) -> Problems:
    yield from expression_problems(opts.idempotency, "idempotency")
    yield from expression_problems(opts.priority.run if opts.priority else None, "priority.run")
    yield from expression_problems(opts.singleton.key if opts.singleton else None, "singleton.key")


def expression_problems(
    source: str | None,
    path: str,
    names: frozenset[str] | set[str] = _EVENT,
    *,
    restrictive: bool = False,
    code: str | None = None,
) -> Problems:
    """Say what is wrong with an expression that may use these names; ``None`` is none, and right."""
    if source is None:
        return
    from inngest_celery.engine import expressions

    try:
        expressions.compile(source, names=frozenset(names), restrictive=restrictive)
    except expressions.ExpressionError as error:
        yield path, code or error.code, str(error)


def _combinations(opts: FunctionOpts) -> Problems:
    if opts.batch_events is None:
        return
    for name in ("cancel", "debounce", "singleton", "priority"):
        if getattr(opts, name):
            yield name, ErrorCode.COMBO_UNSUPPORTED, "cannot be combined with batch_events; remove one of the two"
