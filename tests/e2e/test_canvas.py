"""Durable functions called as Celery tasks: results, chains, groups, chords and callbacks, on a real worker."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
import sqlalchemy as sa
from celery import chain, chord, group

import inngest_celery as inngest
from inngest_celery.store import jobs, schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runtime import runtime_of
from tests.conftest import StartWorker
from tests.waiting import wait_until

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.brokers("valkey")]

LONG = 60


@pytest.fixture
def canvas_of(database_url: str, broker_url: str, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the app, with a worker running, in an environment of the test's own."""

    def open_app(**settings: str) -> Any:
        environment = {"BROKER": broker_url, "BACKEND": broker_url, "DATABASE": database_url, **settings}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        # The module reads its addresses when it is imported.
        monkeypatch.delitem(sys.modules, "tests.e2e.canvas_app", raising=False)
        canvas_app = importlib.import_module("tests.e2e.canvas_app")
        start_worker("tests.e2e.canvas_app", pool="threads", concurrency=4, env=environment)
        return canvas_app

    return open_app


@pytest.fixture
def canvas(canvas_of: Any) -> Any:
    return canvas_of()


def test_a_function_is_called_like_a_task(canvas: Any) -> None:
    result = canvas.add_one.delay({"number": 4})
    assert result.get(timeout=LONG) == 5
    assert canvas.client.runs.get(result.id).output == 5


def test_positional_and_keyword_arguments_are_the_events_data(canvas: Any) -> None:
    assert canvas.add_one.delay(7).get(timeout=LONG) == 8
    assert canvas.add_one.apply_async(kwargs={"number": 9}).get(timeout=LONG) == 10


def test_a_chain_goes_through_a_run(canvas: Any) -> None:
    result = chain(canvas.double.s(5), canvas.add_one.s(), canvas.double.s())()
    assert result.get(timeout=LONG) == 22


def test_a_chain_begins_with_a_run(canvas: Any) -> None:
    assert chain(canvas.add_one.s({"number": 1}), canvas.double.s())().get(timeout=LONG) == 4


def test_a_group_of_runs(canvas: Any) -> None:
    result = group(canvas.add_one.s(number) for number in range(4))()
    assert result.get(timeout=LONG) == [1, 2, 3, 4]


def test_a_chord_waits_for_runs(canvas: Any) -> None:
    result = chord([canvas.add_one.s(1), canvas.double.s(2), canvas.add_one.s(3)], canvas.total.s())()
    assert result.get(timeout=LONG) == 2 + 4 + 4


def test_a_chord_keeps_the_order_of_its_runs(canvas: Any) -> None:
    assert chord([canvas.add_one.s(number) for number in range(4)], canvas.echo.s())().get(timeout=LONG) == [1, 2, 3, 4]


def test_a_link_gets_the_output(canvas: Any) -> None:
    result = canvas.add_one.apply_async((1,), link=canvas.double.s().set(task_id="linked"))
    assert result.get(timeout=LONG) == 2
    assert canvas.app.AsyncResult("linked").get(timeout=LONG) == 4


def test_a_message_sent_by_name_starts_a_run(canvas: Any) -> None:
    result = canvas.app.send_task("canvas/add-one", args=(3,))
    assert result.get(timeout=LONG) == 4


def waits_in(canvas: Any) -> int:
    with runtime_of(canvas.app).database.autocommit() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(schema.wait)).scalar_one())


def test_a_call_that_is_skipped_fails_and_says_why(canvas: Any) -> None:
    first = canvas.alone.delay()
    run = wait_until(lambda: canvas.client.runs.list(status=RunStatus.RUNNING), LONG)[0]
    assert run.id == first.id
    following = chain(canvas.alone.s(), canvas.double.s())()
    for second in (canvas.alone.delay(), following.parent):
        with pytest.raises(inngest.RunSkippedError, match=f"the function's run {first.id} has not ended") as raised:
            second.get(timeout=LONG)
        assert raised.value.code == "singleton"
    assert len(canvas.client.runs.list(status=RunStatus.SKIPPED)) == 2
    # What comes before the run has asked for it is not what it waits for.
    wait_until(lambda: waits_in(canvas), LONG)
    canvas.client.send_sync(inngest.Event(name="canvas/end"))
    assert first.get(timeout=LONG) == "done"


@pytest.fixture(params=["0.25", "0"], ids=["hot", "hop"])
def told(request: pytest.FixtureRequest, canvas_of: Any) -> Any:
    """The function that tells what its messages carry, when a worker keeps its runs and when it does not."""
    return canvas_of(INNGEST_SLICE=request.param)


def test_every_message_of_a_run_carries_the_calls_headers_and_priority(told: Any) -> None:
    call = {"headers": {"tenant": "acme"}, "priority": 3, "ignore_result": False}
    assert told.told.apply_async(**call).get(timeout=LONG) == [["acme", 3]] * 2
    assert told.told.apply_async(ignore_result=False).get(timeout=LONG) == [[None, 1]] * 2


def test_a_message_sent_by_name_passes_headers_and_priority_on(told: Any) -> None:
    call = {"headers": {"tenant": "acme"}, "priority": 3, "ignore_result": False}
    assert told.app.send_task("canvas/told", **call).get(timeout=LONG) == [["acme", 3]] * 2


def test_a_result_that_nobody_wants_is_not_kept(canvas: Any) -> None:
    by_call, by_function = canvas.add_one.apply_async((1,), ignore_result=True), canvas.told.delay()
    assert by_call.get() is by_function.get() is None, "nobody waits for it"
    wait_until(lambda: len(canvas.client.runs.list(status=RunStatus.COMPLETED)) == 2, LONG, "two runs")
    for result in (by_call, by_function):
        wait_until(lambda run_id=result.id: nothing_left(canvas, run_id), LONG, "the delivery")
        assert canvas.app.AsyncResult(result.id).state == "PENDING"


def nothing_left(canvas: Any, run_id: str) -> bool:
    with runtime_of(canvas.app).database.autocommit() as connection:
        return not jobs.exists(connection, run_id)


def test_a_failed_run_raises(canvas: Any) -> None:
    with pytest.raises(inngest.StepError, match="division by zero"):
        canvas.fail.delay().get(timeout=LONG)


def test_the_result_of_a_run_started_by_an_event(canvas: Any) -> None:
    [event_id] = canvas.client.send_sync(inngest.Event(name="canvas/add", data={"number": 1}))
    [run] = wait_until(lambda: canvas.client.runs.of_event(event_id), LONG, "the run")
    assert canvas.app.AsyncResult(run.id).get(timeout=LONG) == 2
