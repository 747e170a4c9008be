"""``limits list|set|reset``: what they print, and how they refuse. What they do: tests/worker/test_limits.py."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from celery import Celery

import inngest_celery as inngest
from inngest_celery.flow.gate import connect
from tests.cli.conftest import RunCli
from tests.stage import Stage, define_functions

pytestmark = [pytest.mark.brokers("valkey"), pytest.mark.databases("sqlite")]


@pytest.fixture
def stage(shop: Celery, database_url: str, redis_url: str) -> Iterator[Stage]:
    shop.conf.broker_url = redis_url
    define_functions(inngest.Inngest(app_id="stage", celery=shop))
    stage = Stage(shop, database_url)
    yield stage
    stage.close()


def line_of(output: str, *words: str) -> str:
    [line] = [line for line in output.splitlines() if all(word in line for word in words)]
    return " ".join(line.split())


def test_set_list_and_reset(stage: Stage, cli: RunCli) -> None:
    for _ in range(4):
        stage.send("stage/one")
    assert line_of(cli("limits", "list").output, "stage-one") == (
        "stage-one concurrency.0 at most 1 step at a time 1 of 1 3"
    )
    said = cli("limits", "set", "stage-one", "concurrency.0", "--limit", "2", "--for", "2h").output
    assert said.startswith("stage-one concurrency.0: at most 2 steps at a time, until 20")
    listed = line_of(cli("limits", "list", "--function", "stage-one").output, "stage-one")
    assert listed.startswith("stage-one concurrency.0 at most 1 step at a time at most 2 steps at a time 20")
    assert listed.endswith("2 of 2 2")
    said = cli("limits", "reset", "stage-one", "concurrency.0").output
    assert said == "stage-one concurrency.0: what the code says holds.\n"
    said = cli("limits", "reset", "stage-one", "concurrency.0").output
    assert said == "stage-one concurrency.0: what the code says holds. Nothing else was set.\n"
    said = cli("limits", "set", "stage-paced", "throttle", "--limit", "5", "--period", "10s", "--burst", "2").output
    assert said == "stage-paced throttle: at most 5 starts in 10s, 2 more at once, until it is reset.\n"


def test_keys_and_what_they_stand_for(stage: Stage, cli: RunCli) -> None:
    for customer in ("ada", "ada", "bob"):
        stage.send("stage/keyed", customer=customer)
    stage.work(stage.send("stage/costly", customer="ada", cost=4))
    output = cli("limits", "list").output
    assert line_of(output, "stage-keyed").endswith('event.data.customer = "ada" 1 of 1 1')
    assert line_of(output, '"bob"') == 'event.data.customer = "bob" 1 of 1'
    assert line_of(output, "stage-costly").endswith('event.data.customer = "ada" 4 of 10')
    assert line_of(output, "stage-paced") == "stage-paced throttle at most 1 start in 1m 0 of 1"


def test_for_programs(stage: Stage, cli: RunCli) -> None:
    stage.send("stage/keyed", customer="ada")
    cli("limits", "set", "stage-keyed", "concurrency.0", "--limit", "3", "--for", "1h")
    [found] = json.loads(cli("limits", "list", "--function", "stage-keyed", "--json").output)
    assert found.pop("set_at") < found.pop("expires_at")
    assert found == {
        "function_id": "stage-keyed",
        "policy": "concurrency.0",
        "key": "event.data.customer",
        "code": {"limit": 1},
        "holds": {"limit": 3},
        "keys": [{"value": '"ada"', "taken": 1, "waiting": 0, "next_at": None}],
    }


def test_redis_is_away(stage: Stage, cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.runtime.admission.gate, "client", connect("redis://127.0.0.1:1"))
    said = cli("limits", "set", "stage-one", "concurrency.0", "--limit", "2").output
    assert "until it is reset" in said
    assert "Redis does not answer." in said
    output = cli("limits", "list").output
    assert "at most 2 steps at a time" in output
    assert "Redis does not tell what is in use" in output


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["stage-one", "throttle", "--limit", "1"], 3, "(limit_not_found)"),
        (["stage-two", "throttle", "--limit", "1"], 3, "(function_not_found)"),
        (["stage-one", "concurrency.0", "--limit", "-1"], 2, "(limit_invalid)"),
        (["stage-one", "concurrency.0"], 2, "--limit"),
        (["stage-one", "concurrency.0", "--limit", "many"], 2, "--limit"),
        (["stage-one", "concurrency.0", "--limit", "1", "--for", "soon"], 2, "--for"),
    ],
)
def test_what_is_refused(stage: Stage, cli: RunCli, arguments: list[str], status: int, says: str) -> None:
    assert says in cli("limits", "set", *arguments, status=status).output
    assert "(function_not_found)" in cli("limits", "list", "--function", "stage-two", status=3).output


def test_there_are_no_limits(inline: object, cli: RunCli) -> None:
    assert cli("limits", "list").output == "No function has limits.\n"
