"""Limits on Celery tasks: wrong ones are refused where they are written, and right ones are noted for the workers."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, shared_task

import inngest_celery as inngest
from inngest_celery import FunctionConfigInvalidError
from inngest_celery.worker.registry import declared, described, limited_tasks_of

INVALID = "function_config_invalid"
SECOND = datetime.timedelta(seconds=1)


def throttle(**options: Any) -> inngest.Throttle:
    return inngest.Throttle(**{"limit": 10, "period": SECOND, **options})


@pytest.fixture
def app() -> Celery:
    return Celery("limits", broker="memory://", set_as_current=False)


@pytest.fixture
def client(app: Celery) -> inngest.Inngest:
    return inngest.Inngest(app_id="shop", celery=app)


# name: (arguments, code, path, words of the message)
REFUSED: dict[str, tuple[Callable[[], Any], str, str, str]] = {
    "nothing": (dict, INVALID, "limit", "limits nothing"),
    "a name and nothing to share": (lambda: {"shared": "vendor"}, INVALID, "limit", "limits nothing"),
    "a shared rate limit": (
        lambda: {"shared": "vendor", "rate_limit": inngest.RateLimit(limit=1, period=SECOND)},
        INVALID,
        "shared",
        "nothing to share",
    ),
    "an empty name": (lambda: {"throttle": throttle(), "shared": ""}, INVALID, "shared", "name"),
    "a long name": (lambda: {"throttle": throttle(), "shared": "x" * 101}, INVALID, "shared", "100"),
    "a name that is none": (lambda: {"throttle": throttle(), "shared": 5}, INVALID, "shared", "string"),
    "a limit of another kind": (lambda: {"throttle": 10}, INVALID, "throttle", "Throttle"),
    "limits on runs": (
        lambda: {"concurrency": inngest.ConcurrencyLevels(fn=[inngest.Concurrency(limit=1)])},
        INVALID,
        "concurrency",
        "list",
    ),
    "three limits": (
        lambda: {"concurrency": [inngest.Concurrency(limit=n) for n in (1, 2, 3)]},
        INVALID,
        "concurrency",
        "at most 2",
    ),
    "a scope without key": (
        lambda: {"concurrency": [inngest.Concurrency(limit=1, scope="env")]},
        INVALID,
        "concurrency[0].key",
        "needs a key",
    ),
    "negative concurrency": (
        lambda: {"concurrency": [inngest.Concurrency(limit=-1)]},
        "concurrency_limit_invalid",
        "concurrency[0].limit",
        "0 or more",
    ),
    "an event": (
        lambda: {"throttle": throttle(key="event.data.user")},
        "expression_unknown_name",
        "throttle.key",
        "event",
    ),
    "a key that is none": (
        lambda: {"throttle": throttle(key="args[")},
        "expression_invalid",
        "throttle.key",
        "ends too early",
    ),
    "no calls at all": (lambda: {"throttle": throttle(limit=0)}, INVALID, "throttle.limit", "1 or more"),
    "a long period": (
        lambda: {"rate_limit": inngest.RateLimit(limit=1, period=datetime.timedelta(days=2))},
        INVALID,
        "rate_limit.period",
        "longer than 1d",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_limits_are_refused(case: str, client: inngest.Inngest) -> None:
    arguments, code, path, words = REFUSED[case]
    with pytest.raises(FunctionConfigInvalidError, match=words) as caught:
        client.limit(**arguments())
    assert caught.value.code == code
    assert caught.value.path == path


def test_only_celery_tasks_are_limited(client: inngest.Inngest) -> None:
    def function() -> None:
        pass

    with pytest.raises(FunctionConfigInvalidError, match=r"above @app\.task"):
        client.limit(throttle=throttle())(function)

    @client.create_function(fn_id="charge", trigger=inngest.TriggerEvent(event="a"))
    def charge(ctx: inngest.ContextSync) -> None:
        pass

    with pytest.raises(FunctionConfigInvalidError, match="create_function"):
        client.limit(throttle=throttle())(charge)


def test_a_functions_task_has_its_functions_limits(client: inngest.Inngest, app: Celery) -> None:
    @client.create_function(fn_id="charge", trigger=inngest.TriggerEvent(event="a"))
    def charge(ctx: inngest.ContextSync) -> None:
        pass

    client.limit(throttle=throttle())(app.tasks["shop/charge"])
    with pytest.raises(FunctionConfigInvalidError, match="durable function's"):
        limited_tasks_of(app)


def test_a_task_is_limited_in_one_place(client: inngest.Inngest, app: Celery) -> None:
    @client.limit(concurrency=[inngest.Concurrency(limit=1)])
    @client.limit(throttle=throttle())
    @app.task(name="twice", shared=False)  # type: ignore[untyped-decorator]
    def twice() -> None:
        pass

    with pytest.raises(FunctionConfigInvalidError, match="twice has limits already"):
        limited_tasks_of(app)


def test_a_task_is_as_it_was_until_a_worker_starts(client: inngest.Inngest, app: Celery) -> None:
    @client.limit(throttle=throttle(key="args[0]"), shared="vendor")
    @app.task(name="call-vendor", shared=False)  # type: ignore[untyped-decorator]
    def call_vendor(customer: str) -> str:
        return customer

    assert call_vendor("ada") == "ada"
    assert call_vendor.s("ada").apply().get() == "ada"
    assert call_vendor.name == "call-vendor"


def test_tasks_of_all_apps_are_limited_in_one(client: inngest.Inngest, app: Celery) -> None:
    @client.limit(throttle=throttle())
    @shared_task(name="limits-shared-task")
    def everywhere() -> None:
        pass

    app.set_current()
    assert list(limited_tasks_of(app)) == ["task:limits-shared-task"]


def test_limits_are_registered_beside_functions(client: inngest.Inngest, app: Celery) -> None:
    @client.limit(
        concurrency=[inngest.Concurrency(limit=2, key="args[0]")],
        rate_limit=inngest.RateLimit(limit=5, period=SECOND),
        shared="vendor",
        throttle=throttle(),
    )
    @app.task(name="call-vendor", shared=False)  # type: ignore[untyped-decorator]
    def call_vendor(customer: str) -> None:
        pass

    app.conf.task_routes = {"call-vendor": {"queue": "slow"}}
    [limited] = declared(app)
    assert limited.wire_config() == {
        "id": "task:call-vendor",
        "name": "call-vendor",
        "task": True,
        "triggers": [],
        "concurrency": [{"key": "args[0]", "limit": 2, "scope": None}],
        "rateLimit": {"key": None, "limit": 5, "period": "1s"},
        "sharedLimits": "vendor",
        "throttle": {"key": None, "limit": 10, "period": "1s", "burst": 1},
    }
    row = described(app, limited, 0)
    assert (row.id, row.app_id, row.task_name, row.queue) == ("task:call-vendor", "shop", "call-vendor", "slow")


def test_functions_share_their_limits_too(client: inngest.Inngest) -> None:
    @client.create_function(
        fn_id="charge", trigger=inngest.TriggerEvent(event="a"), throttle=throttle(), shared_limits="vendor"
    )
    def charge(ctx: inngest.ContextSync) -> None:
        pass

    assert charge.wire_config()["sharedLimits"] == "vendor"
    with pytest.raises(FunctionConfigInvalidError, match="nothing to share") as caught:
        client.create_function(
            fn_id="other",
            trigger=inngest.TriggerEvent(event="a"),
            rate_limit=inngest.RateLimit(limit=1, period=SECOND),
            shared_limits="vendor",
        )(charge.handler)
    assert caught.value.path == "shared_limits"
