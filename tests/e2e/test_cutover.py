"""Calls of old code move to a function: in its shadow, then by percentage. With a real worker."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import pytest
from celery.exceptions import Ignore
from click.testing import CliRunner

from inngest_celery.cli import main
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker import cutover
from inngest_celery.worker.runs import RunInfo
from tests.conftest import StartWorker
from tests.waiting import wait_until

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]

LONG = 60


@pytest.fixture
def moving(database_url: str, broker_url: str, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The app, with a worker."""
    environment = {"BROKER": broker_url, "DATABASE": database_url}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "tests.e2e.cutover_app", raising=False)
    app = importlib.import_module("tests.e2e.cutover_app")
    start_worker("tests.e2e.cutover_app", pool="threads", concurrency=2, env=environment)
    return app


def command(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, ["-A", "tests.e2e.cutover_app", "cutover", *arguments])
    assert result.exit_code == status, result.output
    return result.output


def move(name: str, **shares: float) -> None:
    """Set percentages, and wait until the worker goes by them."""
    options = [text for share, value in shares.items() for text in (f"--{share}", str(value))]
    command("set", name, *options)


def compared(moving: Any, function: str, count: int = 1) -> list[RunInfo]:
    """Wait for so many comparisons, and give them, the newest first."""

    def ended() -> list[RunInfo]:
        return [run for run in moving.client.runs.list(function_id=f"moving-{function}-comparison") if run.ended]

    wait_until(lambda: len(ended()) >= count, LONG, lambda: f"comparisons: {moving.client.runs.list()}")
    return ended()


def test_a_shadow_has_no_effects_and_is_compared(moving: Any) -> None:
    move("moving.bill", shadow=100)
    assert moving.old_bill.delay(5).get(timeout=LONG) == {"customer": "ada", "total": 10, "receipt": "charged"}
    [run] = compared(moving, "bill")
    assert run.status is RunStatus.COMPLETED, run
    assert run.output["same"] is True, run.output
    shadow = moving.client.runs.get(run.output["run_id"])
    assert shadow.function_id == "moving-bill-shadow"
    assert shadow.output == run.output["old"]["output"]
    assert command("report", "moving.bill").strip() == "1 same"


def test_a_difference_is_reported(moving: Any) -> None:
    move("moving.bill", shadow=100)
    moving.old_bill.delay(5, customer="odd")
    moving.old_bill.delay(7, customer="odd")
    runs = compared(moving, "bill", 2)
    assert all(run.output["same"] is False for run in runs)
    report = json.loads(command("report", "moving.bill", "--json", status=1))
    assert report["comparisons"] == {"different": 2}
    assert [(each["path"], each["times"]) for each in report["differences"]] == [("$.output.total", 2)]


def test_an_error_and_a_retry_of_the_old_code(moving: Any) -> None:
    move("moving.bill", shadow=100)
    with pytest.raises(ValueError, match="no money"):
        moving.old_bill.delay(5, customer="broke").get(timeout=LONG)
    [run] = compared(moving, "bill")
    assert run.output["old"] == {"error": {"name": "ValueError", "message": "no money"}}
    assert run.output["same"] is False
    assert moving.old_bill.delay(5, customer="unlucky").get(timeout=LONG)["total"] == 10
    newest = compared(moving, "bill", 2)[0]
    assert newest.output["same"] is True, newest.output
    assert len(moving.client.runs.list(function_id="moving-bill-shadow")) == 2


def test_the_function_takes_the_calls(moving: Any) -> None:
    move("moving.bill", percent=100)
    # Known only by its name, as old messages are.
    result = moving.app.send_task("moving.bill", args=[4], kwargs={"customer": "eve"})
    assert result.get(timeout=LONG) == {"customer": "eve", "total": 8, "receipt": "charged"}
    [run] = moving.client.runs.list(function_id="moving-bill")
    assert run.status is RunStatus.COMPLETED
    # What the old code would refuse is left to it.
    with pytest.raises(TypeError):
        moving.old_bill.delay(customer="eve").get(timeout=LONG)
    listed = json.loads(command("list", "--json"))
    assert {"name": "moving.bill", "function": "moving-bill", "percent": 100, "shadow": 0, "by": "set"} in listed
    command("reset", "moving.bill")
    assert "code" in [each["by"] for each in json.loads(command("list", "--json")) if each["name"] == "moving.bill"]


def test_a_canvas(moving: Any) -> None:
    name = "tests.e2e.cutover_app.old_add"
    move(name, shadow=100)
    assert moving.old_add.delay(1).get(timeout=LONG) == 2
    [run] = compared(moving, "add")
    assert run.output["same"] is True, run.output
    assert moving.old_add(1).apply_async().get(timeout=LONG) == 2
    moving.app.__dict__["inngest_shares"].clear()
    move(name, percent=100)
    assert moving.old_add.delay(5).get(timeout=LONG) == 6
    assert [run.output for run in moving.client.runs.list(function_id="moving-add")] == [6]


def test_a_name_that_is_not_there(moving: Any) -> None:
    assert "moving.bill" in command("set", "moving.pay", "--percent", "5", status=3)
    assert "--percent" in command("set", "moving.bill", status=2)


def test_a_call_that_has_gone_over_stays_there(moving: Any) -> None:
    """Its message is delivered again, and the percentage is not what it was."""
    move("moving.bill", percent=100)
    result = moving.old_bill.delay(4, customer="eve")
    result.get(timeout=LONG)
    move("moving.bill", percent=0)
    moving.app.__dict__["inngest_shares"] = {}
    task = moving.app.tasks["moving.bill"]
    cutover.take_over(moving.app)
    task.push_request(
        id=result.id, args=[4], kwargs={"customer": "eve"}, delivery_info={"redelivered": True}, called_directly=False
    )
    try:
        with pytest.raises(Ignore):
            task.run(4, customer="eve")
        task.request_stack.top.update(id="another")
        delattr(task.request_stack.top, "_inngest_old_run_begun")
        assert task.run(4, customer="eve")["total"] == 8
    finally:
        task.pop_request()
    assert len(moving.client.runs.list(function_id="moving-bill")) == 1


def test_the_old_code_does_not_mind_what_json_cannot_hold(moving: Any) -> None:
    move("moving.odd", shadow=100)
    for amount in (float("inf"), "half a pair: \ud800"):
        assert moving.odd.delay(amount).get(timeout=LONG) == "done"
    assert len(compared(moving, "odd", 2)) == 2
