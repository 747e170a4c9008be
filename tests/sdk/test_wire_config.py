"""A function's configuration is, on the wire, what the official package makes of the same arguments."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import inngest as official
import pytest

import inngest_celery as inngest
from inngest_celery.engine.spec import Budget, read_spec

URL = "https://app.example/api/inngest"
Options = Callable[[Any], dict[str, Any]]

CASES: dict[str, Options] = {
    "nothing": lambda i: {},
    "name": lambda i: {"name": "Send the invoice"},
    "retries": lambda i: {"retries": 0},
    "idempotency": lambda i: {"idempotency": "event.data.order"},
    "cron": lambda i: {"trigger": i.TriggerCron(cron="TZ=Europe/Paris 0 12 * * 5", jitter="30s")},
    "two triggers": lambda i: {
        "trigger": [
            i.TriggerEvent(event="shop/order.*", expression="event.data.total > 100"),
            i.TriggerCron(cron="*/5 * * * *"),
        ]
    },
    "batch": lambda i: {
        "batch_events": i.Batch(max_size=50, timeout=30_000, key="event.data.user", if_exp="event.data.ok")
    },
    "cancel": lambda i: {
        "cancel": [
            i.Cancel(
                event="shop/cancelled", if_exp="async.data.id == event.data.id", timeout=datetime.timedelta(days=2)
            ),
            i.Cancel(event="shop/closed"),
        ]
    },
    "concurrency": lambda i: {
        "concurrency": [i.Concurrency(limit=10), i.Concurrency(limit=1, key="event.data.user", scope="env")]
    },
    "debounce": lambda i: {"debounce": i.Debounce(period=90_000, timeout=datetime.timedelta(hours=25), key="event.id")},
    "priority": lambda i: {"priority": i.Priority(run="event.data.plan == 'pro' ? 120 : 0")},
    "rate limit": lambda i: {"rate_limit": i.RateLimit(limit=10, period=3_600_000, key="event.data.user")},
    "singleton": lambda i: {"singleton": i.Singleton(mode="cancel", key="event.data.user")},
    "throttle": lambda i: {"throttle": i.Throttle(limit=5, period=datetime.timedelta(minutes=1), burst=3)},
    "throttle without burst": lambda i: {"throttle": i.Throttle(limit=5, period=1000, burst=None)},
    "timeouts": lambda i: {"timeouts": i.Timeouts(start=60_000, finish=datetime.timedelta(weeks=1))},
}


def define(package: ModuleType, client: Any, options: dict[str, Any], *, on_failure: bool = False) -> Any:
    def handler(ctx: object) -> None:
        pass

    arguments = {"fn_id": "invoice", "trigger": package.TriggerEvent(event="shop/order.placed")} | options
    if on_failure:
        arguments["on_failure"] = handler
    return client.create_function(**arguments)(handler)


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_same_as_the_official_package(
    options: Options, client: inngest.Inngest, official_client: official.Inngest
) -> None:
    mine = define(inngest, client, options(inngest), on_failure=True).get_config(URL)
    theirs = define(official, official_client, options(official), on_failure=True).get_config(URL)
    assert mine.main.to_dict() == theirs.main.to_dict()
    assert mine.on_failure.to_dict() == theirs.on_failure.to_dict()


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_same_without_a_failure_handler(
    options: Options, client: inngest.Inngest, official_client: official.Inngest
) -> None:
    mine = define(inngest, client, options(inngest)).get_config(URL)
    assert mine.main.to_dict() == define(official, official_client, options(official)).get_config(URL).main.to_dict()
    assert mine.on_failure is None


MILLISECONDS = [
    1000,
    2000,
    59_000,
    60_000,
    61_000,
    90_000,
    3_600_000,
    90_000_000,
    86_400_000,
    604_800_000,
    2_592_000_000,
]


@pytest.mark.parametrize("ms", MILLISECONDS)
@pytest.mark.parametrize("kind", [int, datetime.timedelta])
def test_durations(ms: int, kind: type) -> None:
    value = ms if kind is int else datetime.timedelta(milliseconds=ms)
    assert inngest.Timeouts(finish=value).to_dict() == official.Timeouts(finish=value).to_dict()


def test_stored_config_has_no_url_and_nothing_unset(client: inngest.Inngest) -> None:
    function = define(inngest, client, {"retries": 2, "throttle": inngest.Throttle(limit=5, period=60_000)})
    assert function.wire_config() == {
        "id": "shop-invoice",
        "name": "invoice",
        "retries": 2,
        "throttle": {"limit": 5, "period": "1m", "burst": 1},
        "triggers": [{"event": "shop/order.placed"}],
    }


def test_limits_on_runs_are_stored_as_the_wire_has_them(client: inngest.Inngest) -> None:
    levels = inngest.ConcurrencyLevels(
        fn=[inngest.Concurrency(limit=1, key="event.data.user")], step=[inngest.Concurrency(limit=10)]
    )
    config = define(inngest, client, {"concurrency": levels}).wire_config()
    assert config["concurrency"] == {"fn": [{"key": "event.data.user", "limit": 1}], "step": [{"limit": 10}]}
    spec = read_spec(json.dumps(config))
    assert [(limit.policy, limit.limit, limit.key) for limit in (*spec.run_concurrency, *spec.concurrency)] == [
        ("run_concurrency.0", 1, "event.data.user"),
        ("concurrency.0", 10, None),
    ]


def test_a_budget_is_on_the_wire_where_there_is_one(client: inngest.Inngest) -> None:
    budget = inngest.Budget(limit=2.5, period=datetime.timedelta(days=1), key="event.data.user", cost="output.tokens")
    function = define(inngest, client, {"budget": budget})
    config = function.wire_config()
    assert config["budget"] == {
        "limit": 2.5,
        "period": "1d",
        "key": "event.data.user",
        "cost": "output.tokens",
        "mode": "queue",
    }
    assert read_spec(json.dumps(config)).budget == Budget(2.5, 86_400_000, "event.data.user", "output.tokens", "queue")
    assert function.get_config(URL).main.to_dict()["budget"] == config["budget"]


def test_stored_config_of_a_failure_handler(client: inngest.Inngest) -> None:
    function = define(inngest, client, {"celery_options": {"queue": "mail"}}, on_failure=True)
    failure = function.on_failure_function
    assert failure.wire_config() == {
        "id": "shop-invoice-failure",
        "name": "invoice (failure)",
        "retries": 0,
        "cancel": [],
        "concurrency": [],
        "triggers": [
            {"event": "inngest/function.failed", "expression": "event.data.function_id == 'shop-invoice'"},
        ],
    }
    assert failure.task_name == "shop/invoice-failure"
    assert failure.celery_options == {"queue": "mail"}
    assert failure.output_type is object
    assert set(client.functions) == {"shop-invoice", "shop-invoice-failure"}
