"""What a run's jobs carry for flow control: which limits, under which keys, in which order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inngest_celery.engine.policies import budget_of, call_flow_of, call_rate_limit_of, digest, flow_of
from inngest_celery.engine.spec import read_spec

EVENT = {"name": "e", "data": {"user": "ada", "urgent": True}}
BUDGET = {"limit": 100, "period": "1d"}


def flow(**config: Any) -> Any:
    text = flow_of(read_spec(json.dumps({"id": "shop-pay", "triggers": [], **config})), EVENT, 5_000)
    return None if text is None else json.loads(text)


def test_nothing_limits_a_plain_function() -> None:
    assert flow(rateLimit={"limit": 1, "period": "1m"}, priority={"run": "1"}) is None
    assert flow(concurrency=[{"limit": 0}]) is None


def test_a_steps_own_key_comes_first_and_the_budget_last() -> None:
    found = flow(budget=BUDGET, concurrency=[{"limit": 9}, {"limit": 1, "key": "event.data.user"}])
    assert found["steps"] == [
        ["concurrency.1", f"shop-pay:concurrency.1:{digest('ada')}"],
        ["concurrency.0", "shop-pay:concurrency.0"],
        ["budget", "shop-pay:budget"],
    ]
    assert found["starts"] == []
    assert found["tag"] == "shop-pay"


def test_starts_are_throttled_before_they_take_a_place() -> None:
    found = flow(concurrency={"fn": [{"limit": 1}]}, throttle={"limit": 1, "period": "1m"})
    assert found["starts"] == [["throttle", "shop-pay:throttle"], ["run_concurrency.0", "shop-pay:run_concurrency.0"]]
    assert found["steps"] == []


def test_a_limit_that_is_shared_has_the_same_name_everywhere() -> None:
    shared = {"limit": 1, "key": "event.data.user", "scope": "env"}
    ours, theirs = flow(concurrency=[shared]), flow(id="other-fn", concurrency=[{"limit": 5}, shared])
    assert ours["steps"][0][1] == theirs["steps"][0][1] == f"env:concurrency:{digest(shared['key'])}:{digest('ada')}"
    assert ours["tag"] == theirs["tag"] == "*"


@pytest.mark.parametrize(
    ("expression", "score"),
    [
        ("60", -55_000),
        ("60.0", -55_000),
        ("0.5", 5_000),
        ("event.data.urgent ? 5 : 0", 0),
        ("-1000", 605_000),
        ("'x'", 5_000),
        ("event.data.no", 5_000),
    ],
)
def test_priority_moves_a_run_in_line(expression: str, score: int) -> None:
    assert flow(budget=BUDGET, priority={"run": expression})["score"] == score


def test_a_run_knows_its_budget() -> None:
    text = json.dumps(flow(concurrency=[{"limit": 9}], budget={**BUDGET, "key": "event.data.user"}))
    assert budget_of(text) == f"shop-pay:budget:{digest('ada')}"
    assert budget_of(json.dumps(flow(concurrency=[{"limit": 9}]))) is None
    assert budget_of(None) is None


CALL = {"args": ["ada", 5], "kwargs": {"urgent": True}, "task": "pay"}


def call_flow(**config: Any) -> Any:
    text = call_flow_of(read_spec(json.dumps({"id": "task:pay", "task": True, "triggers": [], **config})), CALL, 5_000)
    return None if text is None else json.loads(text)


def test_each_attempt_of_a_task_needs_all_its_limits() -> None:
    found = call_flow(concurrency=[{"limit": 1}, {"limit": 1, "key": "args[0]"}], throttle={"limit": 1, "period": "1m"})
    assert found == {
        "tag": "task:pay",
        "score": 5_000,
        "steps": [
            ["concurrency.1", f"task:pay:concurrency.1:{digest('ada')}"],
            ["concurrency.0", "task:pay:concurrency.0"],
            ["throttle", "task:pay:throttle"],
        ],
        "starts": [],
    }
    assert call_flow(rateLimit={"limit": 1, "period": "1m"}) is None


def test_keys_of_a_task_read_its_call() -> None:
    for key, value in {"args[1]": 5, "kwargs.urgent": True, "task": "pay", "kwargs.missing": None}.items():
        [[_, resource]] = call_flow(concurrency=[{"limit": 1, "key": key}])["steps"]
        assert resource == f"task:pay:concurrency.0:{digest(value)}", key
    spec = read_spec(json.dumps({"id": "task:pay", "rateLimit": {"limit": 1, "period": "1m", "key": "args[0]"}}))
    assert call_rate_limit_of(spec, CALL) == f"task:pay:rate_limit:{digest('ada')}"


def test_limits_are_shared_by_name_and_by_the_values_of_their_keys() -> None:
    config = {"sharedLimits": "vendor", "throttle": {"limit": 1, "period": "1m"}}
    function = flow(**config, concurrency=[{"limit": 1, "key": "event.data.user"}], budget=BUDGET)
    task = call_flow(**config, concurrency=[{"limit": 1, "key": "args[0]"}])
    assert function["tag"] == task["tag"] == "*"
    assert function["starts"] == [["throttle", "shared:vendor:throttle"]]
    # A budget is the function's own.
    assert function["steps"] == [task["steps"][0], ["budget", "shop-pay:budget"]]
    assert task["steps"][1:] == function["starts"]


def test_what_is_shared_is_needed_in_one_order() -> None:
    keys = ['"a"', '"b"']
    limits = [[{"limit": 1, "key": key, "scope": "env"} for key in order] for order in (keys, keys[::-1])]
    one, other = ([resource for _, resource in flow(concurrency=each)["steps"]] for each in limits)
    assert one == other
