"""Wrong options are refused where the function is defined, with a code, the option's path and what to write instead."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery import FunctionConfigInvalidError

EVENT = inngest.TriggerEvent(event="shop/order.placed")
INVALID = "function_config_invalid"


def limited(**options: Any) -> Any:
    return inngest.Throttle(**{"limit": 1, "period": 1000} | options)


# name: (arguments, code, path, words of the message)
REFUSED: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "retries is text": (lambda: {"retries": "3"}, INVALID, "retries", "valid integer"),
    "retries below 0": (lambda: {"retries": -1}, INVALID, "retries", "0 to 20"),
    "retries above 20": (lambda: {"retries": 21}, INVALID, "retries", "0 to 20"),
    "empty id": (lambda: {"fn_id": " "}, INVALID, "fn_id", "empty"),
    "Celery options as a list": (
        lambda: {"celery_options": ["queue"]},
        "celery_option_invalid",
        "celery_options",
        "takes a dict",
    ),
    "long id": (lambda: {"fn_id": "x" * 252}, INVALID, "fn_id", "255"),
    "no trigger": (lambda: {"trigger": []}, INVALID, "trigger", "1 to 10"),
    "trigger of another type": (
        lambda: {"trigger": "shop/paid"},
        INVALID,
        "trigger[0]",
        "TriggerEvent",
    ),
    "11 triggers": (
        lambda: {"trigger": [inngest.TriggerEvent(event=f"e{n}") for n in range(11)]},
        INVALID,
        "trigger",
        "1 to 10",
    ),
    "same trigger twice": (lambda: {"trigger": [EVENT, EVENT]}, INVALID, "trigger[1]", "earlier"),
    "same cron twice": (
        lambda: {"trigger": [inngest.TriggerCron(cron="0 0 * * *", jitter=jitter) for jitter in (None, "5s")]},
        INVALID,
        "trigger[1]",
        "earlier",
    ),
    "empty event name": (
        lambda: {"trigger": inngest.TriggerEvent(event="")},
        "event_name_invalid",
        "trigger[0].event",
        "",
    ),
    "star inside": (
        lambda: {"trigger": inngest.TriggerEvent(event="a/*/b")},
        "event_name_invalid",
        "trigger[0].event",
        "only at the end",
    ),
    "long event name": (
        lambda: {"trigger": inngest.TriggerEvent(event="e" * 256)},
        "event_name_invalid",
        "trigger[0].event",
        "255",
    ),
    "expression": (
        lambda: {"trigger": inngest.TriggerEvent(event="e", expression="event.data. ==")},
        "expression_invalid",
        "trigger[0].expression",
        "",
    ),
    "expression over async": (
        lambda: {"trigger": inngest.TriggerEvent(event="e", expression="async.data.x == 1")},
        "expression_unknown_name",
        "trigger[0].expression",
        "async",
    ),
    "cron": (lambda: {"trigger": inngest.TriggerCron(cron="every day")}, "schedule_invalid", "trigger[0].cron", ""),
    "jitter is no duration": (
        lambda: {"trigger": inngest.TriggerCron(cron="* * * * *", jitter="soon")},
        "schedule_invalid",
        "trigger[0].jitter",
        "soon",
    ),
    "jitter too long": (
        lambda: {"trigger": inngest.TriggerCron(cron="* * * * *", jitter="6m")},
        "schedule_invalid",
        "trigger[0].jitter",
        "1s to 5m",
    ),
    "idempotency": (lambda: {"idempotency": "event.("}, "expression_invalid", "idempotency", ""),
    "priority": (lambda: {"priority": inngest.Priority(run="1 +")}, "expression_invalid", "priority.run", ""),
    "singleton key": (
        lambda: {"singleton": inngest.Singleton(mode="skip", key=")")},
        "expression_invalid",
        "singleton.key",
        "",
    ),
    "3 concurrency limits": (
        lambda: {"concurrency": [inngest.Concurrency(limit=n) for n in (1, 2, 3)]},
        INVALID,
        "concurrency",
        "at most 2",
    ),
    "negative concurrency": (
        lambda: {"concurrency": [inngest.Concurrency(limit=-1)]},
        "concurrency_limit_invalid",
        "concurrency[0].limit",
        "0 or more",
    ),
    "concurrency of neither form": (
        lambda: {"concurrency": 5},
        INVALID,
        "concurrency",
        "instance of ConcurrencyLevels",
    ),
    "2 limits on runs": (
        lambda: {"concurrency": inngest.ConcurrencyLevels(fn=[inngest.Concurrency(limit=n) for n in (1, 2)])},
        INVALID,
        "concurrency.fn",
        "at most 1 limit is",
    ),
    "no limit on runs": (
        lambda: {"concurrency": inngest.ConcurrencyLevels(fn=[inngest.Concurrency(limit=0)])},
        "concurrency_limit_invalid",
        "concurrency.fn[0].limit",
        "1 or more",
    ),
    "3 limits on steps": (
        lambda: {"concurrency": inngest.ConcurrencyLevels(step=[inngest.Concurrency(limit=n) for n in (1, 2, 3)])},
        INVALID,
        "concurrency.step",
        "at most 2 limits are",
    ),
    "limit on runs of an account without key": (
        lambda: {"concurrency": inngest.ConcurrencyLevels(fn=[inngest.Concurrency(limit=1, scope="account")])},
        INVALID,
        "concurrency.fn[0].key",
        "needs a key",
    ),
    "scope without key": (
        lambda: {"concurrency": [inngest.Concurrency(limit=1, scope="account")]},
        INVALID,
        "concurrency[0].key",
        "needs a key",
    ),
    "throttle limit": (
        lambda: {"throttle": limited(limit=0)},
        INVALID,
        "throttle.limit",
        "1 or more",
    ),
    "throttle period": (
        lambda: {"throttle": limited(period=datetime.timedelta(days=8))},
        INVALID,
        "throttle.period",
        "longer than 1w",
    ),
    "throttle burst": (
        lambda: {"throttle": limited(burst=-1)},
        INVALID,
        "throttle.burst",
        "0 or more",
    ),
    "throttle key": (lambda: {"throttle": limited(key="(")}, "expression_invalid", "throttle.key", ""),
    "rate limit period": (
        lambda: {"rate_limit": inngest.RateLimit(limit=1, period=datetime.timedelta(days=2))},
        INVALID,
        "rate_limit.period",
        "longer than 1d",
    ),
    "debounce period": (
        lambda: {"debounce": inngest.Debounce(period=datetime.timedelta(days=8))},
        INVALID,
        "debounce.period",
        "longer than 1w",
    ),
    "batch of one": (
        lambda: {"batch_events": inngest.Batch(max_size=1, timeout=1000)},
        "batch_size_invalid",
        "batch_events.max_size",
        "2 to 100",
    ),
    "batch without timeout": (
        lambda: {"batch_events": inngest.Batch(max_size=2)},
        "batch_timeout_invalid",
        "batch_events.timeout",
        "for ever",
    ),
    "batch key": (
        lambda: {"batch_events": inngest.Batch(max_size=2, timeout=1000, key="(")},
        "batch_key_expression_invalid",
        "batch_events.key",
        "",
    ),
    "batch if": (
        lambda: {"batch_events": inngest.Batch(max_size=2, timeout=1000, if_exp="(")},
        "batch_if_expression_invalid",
        "batch_events.if_exp",
        "",
    ),
    "budget of nothing": (
        lambda: {"budget": inngest.Budget(limit=0, period=1000)},
        "budget_invalid",
        "budget.limit",
        "above 0",
    ),
    "endless budget": (
        lambda: {"budget": inngest.Budget(limit=float("inf"), period=1000)},
        "budget_invalid",
        "budget.limit",
        "above 0",
    ),
    "budget period": (
        lambda: {"budget": inngest.Budget(limit=1, period=datetime.timedelta(days=32))},
        "budget_invalid",
        "budget.period",
        "longer than 31 days",
    ),
    "budget key over output": (
        lambda: {"budget": inngest.Budget(limit=1, period=1000, key="output.user")},
        "expression_unknown_name",
        "budget.key",
        "output",
    ),
    "budget cost": (
        lambda: {"budget": inngest.Budget(limit=1, period=1000, cost="output.")},
        "expression_invalid",
        "budget.cost",
        "",
    ),
    "budget as a number": (lambda: {"budget": 100}, INVALID, "budget", "instance of Budget"),
    "6 cancels": (
        lambda: {"cancel": [inngest.Cancel(event="e")] * 6},
        INVALID,
        "cancel",
        "at most 5",
    ),
    "cancel by wildcard": (
        lambda: {"cancel": [inngest.Cancel(event="e/*")]},
        "event_name_invalid",
        "cancel[0].event",
        "triggers only",
    ),
    "cancel with a function": (
        lambda: {"cancel": [inngest.Cancel(event="e", if_exp='lowercase(async.data.x) == "a"')]},
        "expression_not_allowed",
        "cancel[0].if_exp",
        "",
    ),
    "unknown Celery option": (
        lambda: {"celery_options": {"que": "mail"}},
        "celery_option_invalid",
        "celery_options.que",
        "queue",
    ),
    "Celery's own retries": (
        lambda: {"celery_options": {"max_retries": 3}},
        "celery_option_invalid",
        "celery_options.max_retries",
        "use retries=",
    ),
    "Celery option of another type": (
        lambda: {"celery_options": {"priority": True}},
        "celery_option_invalid",
        "celery_options.priority",
        "int, not bool",
    ),
} | {
    f"batch and {name}": (
        functools.partial(dict[str, Any], batch_events=inngest.Batch(max_size=2, timeout=1000), **{name: other}),
        "combo_unsupported",
        name,
        "remove one",
    )
    for name, other in {
        "cancel": [inngest.Cancel(event="e")],
        "debounce": inngest.Debounce(period=1000),
        "singleton": inngest.Singleton(mode="skip"),
        "priority": inngest.Priority(run="1"),
    }.items()
}


@pytest.mark.parametrize(("options", "code", "path", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(options: Callable[[], Any], code: str, path: str, words: str, client: inngest.Inngest) -> None:
    arguments: dict[str, Any] = {"fn_id": "invoice", "trigger": EVENT} | options()
    tasks = set(client.celery.tasks)
    with pytest.raises(FunctionConfigInvalidError) as caught:
        client.create_function(**arguments)(lambda ctx: None)
    assert (caught.value.code, caught.value.path) == (code, path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert not caught.value.is_retriable
    assert client.functions == {}
    assert set(client.celery.tasks) == tasks


# (class, options, path, words)
MALFORMED: list[tuple[Any, dict[str, Any], str, str]] = [
    (inngest.Throttle, {"limit": "1", "period": 1000}, "Throttle.limit", "valid integer"),
    (inngest.Throttle, {"limit": True, "period": 1000}, "Throttle.limit", "valid integer"),
    (inngest.Throttle, {"limit": 1}, "Throttle.period", "required"),
    (inngest.Throttle, {"limit": 1, "period": 1000, "perod": 1}, "Throttle.perod", "not permitted"),
    (inngest.Debounce, {"period": 999}, "Debounce.period", "at least 1 second"),
    (inngest.Debounce, {"period": 0}, "Debounce.period", "at least 1 second"),
    (inngest.Debounce, {"period": -1000}, "Debounce.period", "at least 1 second"),
    (inngest.Debounce, {"period": 1500}, "Debounce.period", "whole number of seconds"),
    (inngest.Debounce, {"period": datetime.timedelta(seconds=1, microseconds=1)}, "Debounce.period", "whole number"),
    (inngest.Debounce, {"period": "1s"}, "Debounce.period", "timedelta"),
    (inngest.Debounce, {"period": 1000.0}, "Debounce.period", "timedelta"),
    (inngest.Debounce, {"period": True}, "Debounce.period", "timedelta"),
    (inngest.Budget, {"limit": "1", "period": 1000}, "Budget.limit", "valid number"),
    (inngest.Budget, {"limit": 1, "period": 1000, "mode": "skip"}, "Budget.mode", "'queue' or 'stop'"),
    (inngest.Singleton, {"mode": "wait"}, "Singleton.mode", "'skip' or 'cancel'"),
    (inngest.TriggerEvent, {}, "TriggerEvent.event", "required"),
    (inngest.Concurrency, {"limit": 1, "scope": "team"}, "Concurrency.scope", "'env'"),
]


@pytest.mark.parametrize(("cls", "options", "path", "words"), MALFORMED)
def test_malformed(cls: Any, options: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(FunctionConfigInvalidError) as caught:
        cls(**options)
    assert caught.value.path == path
    assert words in str(caught.value)


def test_options_are_keywords() -> None:
    with pytest.raises(TypeError):
        inngest.Throttle(1)  # type: ignore[arg-type, call-arg]


def test_unknown_option_of_create_function(client: inngest.Inngest) -> None:
    with pytest.raises(TypeError, match="retrys"):
        client.create_function(fn_id="a", trigger=EVENT, retrys=3)  # type: ignore[call-arg]


def test_the_same_id_twice(client: inngest.Inngest) -> None:
    decorate = client.create_function(fn_id="a", trigger=EVENT)
    first = decorate(lambda ctx: None)
    with pytest.raises(FunctionConfigInvalidError) as caught:
        decorate(lambda ctx: None)
    assert caught.value.code == "function_id_duplicate"
    assert client.functions == {"shop-a": first}


def test_a_failure_handler_takes_an_id_too(client: inngest.Inngest) -> None:
    client.create_function(fn_id="a-failure", trigger=EVENT)(lambda ctx: None)
    with pytest.raises(FunctionConfigInvalidError) as caught:
        client.create_function(fn_id="a", trigger=EVENT, on_failure=lambda ctx: None)(lambda ctx: None)
    assert caught.value.code == "function_id_duplicate"


async def async_handler(ctx: inngest.Context) -> None:
    pass


def sync_handler(ctx: inngest.ContextSync) -> None:
    pass


def no_context() -> None:
    pass


def context_and_step(ctx: inngest.ContextSync, step: inngest.StepSync) -> None:
    pass


def generator(ctx: inngest.ContextSync) -> Any:
    yield 1


@pytest.mark.parametrize(
    ("handler", "on_failure", "words"),
    [
        (async_handler, sync_handler, "an async function cannot have a non-async on_failure handler"),
        (sync_handler, async_handler, "a non-async function cannot have an async on_failure handler"),
        (no_context, None, "one argument"),
        (context_and_step, None, "steps are at ctx.step"),
        (sync_handler, context_and_step, "steps are at ctx.step"),
        (generator, None, "generator"),
        ("text", None, "not a function"),
    ],
)
def test_handlers(handler: Any, on_failure: Any, words: str, client: inngest.Inngest) -> None:
    with pytest.raises(FunctionConfigInvalidError, match=words):
        client.create_function(fn_id="a", trigger=EVENT, on_failure=on_failure)(handler)


def test_middleware_is_a_class(client: inngest.Inngest) -> None:
    with pytest.raises(FunctionConfigInvalidError, match="not an instance"):
        client.add_middleware(inngest.MiddlewareSync(client, None))  # type: ignore[arg-type]


def test_middleware_of_a_function_is_a_class_too(client: inngest.Inngest) -> None:
    for wrong in (inngest.MiddlewareSync(client, None), "text"):
        with pytest.raises(FunctionConfigInvalidError, match="middleware: "):
            client.create_function(fn_id="a", trigger=EVENT, middleware=[wrong])(sync_handler)  # type: ignore[list-item]


@pytest.mark.parametrize("app_id", ["", " ", None, 7])
def test_an_app_has_an_id(app_id: Any) -> None:
    with pytest.raises(FunctionConfigInvalidError, match="app_id"):
        inngest.Inngest(app_id=app_id)
