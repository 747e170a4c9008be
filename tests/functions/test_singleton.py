"""Singleton: of the runs with one key, one at a time; a second is skipped, or takes the place of the first."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.engine.keys import singleton_key
from inngest_celery.engine.spec import FunctionSpec, Singleton
from inngest_celery.store import schema
from inngest_celery.store.rows import Run, RunStatus, values
from inngest_celery.worker.runs import RunInfo
from tests.functions.bench import Bench
from tests.functions.locks import Race

only_sqlite = pytest.mark.databases("sqlite")
NEVER = inngest.TriggerEvent(event="test/never", expression="false")
SOON = 10.0


def sleeper(bench: Bench, mode: Any = "skip", key: str | None = None, **options: Any) -> None:
    @bench.function(singleton=inngest.Singleton(mode=mode, key=key), **options)
    async def fn(ctx: inngest.Context) -> object:
        await asyncio.gather(ctx.step.sleep("nap", 3_600_000), ctx.step.run("beside", lambda: None))
        if ctx.event.data.get("fail"):
            raise inngest.NonRetriableError("no")
        return ctx.event.data.get("number")


def statuses(bench: Bench, runs: list[RunInfo]) -> list[str]:
    return [bench.get(run).status.name for run in runs]


def test_a_second_run_is_skipped_and_names_the_first(bench: Bench) -> None:
    sleeper(bench)
    first, second = bench.run(number=1), bench.run(number=2)
    assert (second.status, second.output) == (RunStatus.SKIPPED, None)
    assert second.reason == f"Singleton: run {first.id} has not ended"
    assert second.ended_at == second.created_at
    assert not bench.jobs(second)
    assert bench.output(first) == 1
    assert [json_id(row) for row in bench.events("inngest/function.finished")] == [first.id], "a skip is no end"
    assert bench.run(number=3).status is RunStatus.RUNNING


def json_id(row: Any) -> str:
    return str(json.loads(row.data)["run_id"])


def test_a_newer_one_does_not_give_way_to_one_that_is_routed_late(bench: Bench) -> None:
    sleeper(bench, "cancel")
    bench.inline  # noqa: B018
    events = [inngest.Event(name="test/go", data={"number": number}) for number in (1, 2)]
    older, newer = bench.client.send_sync(events)
    bench.route(newer)
    bench.route(older)
    bench.inline.drain()
    [late], [kept] = bench.inline.runs.of_event(older), bench.inline.runs.of_event(newer)
    assert (late.status, late.reason) == (RunStatus.SKIPPED, f"Singleton: run {kept.id} has not ended")
    assert bench.output(kept) == 2


def test_the_first_gives_way_to_a_second(bench: Bench) -> None:
    sleeper(bench, "cancel")
    first, second = bench.run(number=1), bench.run(number=2)
    ended = bench.get(first)
    assert ended.status is RunStatus.CANCELLED
    assert ended.reason == f"Singleton: run {second.id} takes its place"
    assert len(bench.events("inngest/function.cancelled")) == 1
    assert bench.output(second) == 2
    assert bench.get(first).status is RunStatus.CANCELLED


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "overdue"])
def test_the_place_is_free_however_the_run_ends(bench: Bench, end: str) -> None:
    timeouts = inngest.Timeouts(finish=60_000) if end == "overdue" else None
    sleeper(bench, timeouts=timeouts)
    first = bench.run(fail=end == "failed")
    assert bench.run().status is RunStatus.SKIPPED
    if end == "cancelled":
        bench.inline.runs.cancel(first.id)
    else:
        bench.advance(hours=1)
    expected = {"overdue": "cancelled"}.get(end, end)
    assert bench.get(first).status is RunStatus[expected.upper()]
    assert bench.run().status is RunStatus.RUNNING


@only_sqlite
def test_a_plain_run_frees_its_place(bench: Bench) -> None:
    """The shortest way to the end, which is one statement on some databases."""

    @bench.function(singleton=inngest.Singleton(mode="skip"))
    async def fn(ctx: inngest.Context) -> str:
        return await ctx.step.run("one", lambda: "done")

    assert [bench.run().output for _ in range(3)] == ["done"] * 3


@pytest.mark.databases("postgres", "mariadb")
def test_a_plain_run_frees_its_place_on_a_server(bench: Bench) -> None:
    test_a_plain_run_frees_its_place(bench)


def test_each_key_has_its_own(bench: Bench) -> None:
    sleeper(bench, key="event.data.user")
    runs = [bench.run(user=user) for user in ("a", "b", "a", 1, "1")]
    assert statuses(bench, runs) == ["RUNNING", "RUNNING", "SKIPPED", "RUNNING", "SKIPPED"]


@only_sqlite
@pytest.mark.parametrize("key", ["event.data.alone == true", "int(event.data.none)"])
def test_a_key_that_is_false_or_has_no_value_is_none(bench: Bench, key: str) -> None:
    sleeper(bench, key=key)
    assert statuses(bench, [bench.run(none="x") for _ in range(3)]) == ["RUNNING"] * 3


@only_sqlite
def test_functions_do_not_share_a_place(bench: Bench) -> None:
    sleeper(bench)
    sleeper(bench, fn_id="other")
    assert statuses(bench, bench.send()) == ["RUNNING", "RUNNING"]
    assert statuses(bench, bench.send()) == ["SKIPPED", "SKIPPED"]


@pytest.mark.parametrize("mode", ["skip", "cancel"])
def test_the_same_event_again_changes_nothing(bench: Bench, mode: str) -> None:
    sleeper(bench, mode)
    [first] = bench.inline.send(inngest.Event(name="test/go", id="same"))
    assert bench.inline.send(inngest.Event(name="test/go", id="same")) == []
    assert bench.get(first).status is RunStatus.RUNNING


@only_sqlite
def test_a_skipped_event_may_come_again(bench: Bench) -> None:
    sleeper(bench)
    again = inngest.Event(name="test/go", id="same")
    first = bench.run()
    assert [run.status.name for run in bench.inline.send(again)] == ["SKIPPED"]
    bench.advance(hours=1)
    assert bench.get(first).status is RunStatus.COMPLETED
    assert [run.status.name for run in bench.inline.send(again)] == ["RUNNING"]
    assert bench.inline.send(again) == [], "it has had its run"


@only_sqlite
def test_a_skipped_call_that_is_delivered_again_has_had_its_answer(bench: Bench) -> None:
    sleeper(bench)
    bench.run()
    for _ in range(2):
        bench.client.functions["app-fn"].apply_async(task_id="same")
        bench.inline.drain()
        bench.advance(hours=1)
    assert sorted(run.status.name for run in bench.inline.runs.list()) == ["COMPLETED", "SKIPPED"]


def test_a_step_that_calls_it_gets_an_error(bench: Bench) -> None:
    sleeper(bench, fn_id="callee", trigger=NEVER)

    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> Any:
        try:
            return await ctx.step.invoke_by_id("call", function_id="callee", data={"number": 5})
        except inngest.StepError as error:
            return [error.name, error.message]

    first, second = bench.run(), bench.run()
    [holder] = bench.inline.runs.list(function_id="app-callee", status=RunStatus.RUNNING)
    assert second.output == ["RunSkippedError", f"the function's run {holder.id} has not ended"]
    assert bench.output(first) == 5


@only_sqlite
def test_the_caller_of_a_run_that_gives_way_gets_an_error(bench: Bench) -> None:
    sleeper(bench, "cancel", fn_id="callee", trigger=NEVER)

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        try:
            return await ctx.step.invoke_by_id("call", function_id="callee", data={"number": 5})
        except inngest.StepError as error:
            return error.message

    first, second = bench.run(), bench.run()
    assert bench.get(first).output == "function cancelled"
    assert bench.output(second) == 5


@only_sqlite
def test_a_run_that_waits_for_its_start_holds_its_place(bench: Bench) -> None:
    sleeper(bench)
    [first] = bench.inline.send(inngest.Event(name="test/go", ts=bench.now + 60_000))
    assert bench.run().status is RunStatus.SKIPPED
    bench.inline.runs.cancel(first.id)
    assert bench.run().status is RunStatus.RUNNING


# Races


def route_two(patient: Bench, racing: Race) -> list[str]:
    """Route two events that both wait for a third that has the place, and then has not; give their ids."""
    patient.inline  # noqa: B018
    event_ids = [patient.client.send_sync(inngest.Event(name="test/go"))[0] for _ in range(2)]
    key = singleton_key(SPEC, None)  # type: ignore[arg-type]
    other = Run("0" * 26, "app-fn", event_ids[0], None, RunStatus.SCHEDULED.value, patient.now, singleton_key=key)
    with racing.holding(sa.insert(schema.run).values(**values(other))):
        routing = [racing.start(patient.route, event_id) for event_id in event_ids]
        racing.wait_for_waiters(2)
    for part in routing:
        part.result(SOON)
    patient.inline.drain()
    return event_ids


SPEC = FunctionSpec("app-fn", "fn", 4, (), (), (), None, None, singleton=Singleton(None, cancels=False))


@pytest.mark.databases("postgres", "mariadb")
def test_two_routes_want_one_place(patient: Bench, racing: Race) -> None:
    sleeper(patient)
    route_two(patient, racing)
    assert sorted(statuses(patient, patient.inline.runs.list())) == ["RUNNING", "SKIPPED"]


@pytest.mark.databases("postgres", "mariadb")
def test_of_two_routes_that_want_one_place_the_newer_event_gets_it(patient: Bench, racing: Race) -> None:
    sleeper(patient, "cancel")
    older, newer = route_two(patient, racing)
    [late], [kept] = patient.inline.runs.of_event(older), patient.inline.runs.of_event(newer)
    assert kept.status is RunStatus.RUNNING
    # It was cancelled, or came too late.
    assert late.status in (RunStatus.CANCELLED, RunStatus.SKIPPED)


@pytest.mark.databases("postgres", "mariadb")
@pytest.mark.parametrize("mode", ["skip", "cancel"])
def test_a_run_ends_while_another_wants_its_place(patient: Bench, racing: Race, mode: str) -> None:
    """Whoever comes second sees what the first has done: nobody is turned away by a run that is no more."""
    sleeper(patient, mode)
    first = patient.run()
    [event_id] = patient.client.send_sync(inngest.Event(name="test/go"))
    with racing.holding(sa.select(schema.run).where(schema.run.c.id == first.id).with_for_update()):
        ending = racing.start(patient.inline.runs.cancel, first.id)
        racing.wait_for_waiters(1)
        routing = racing.start(patient.route, event_id)
        if mode == "cancel":
            racing.wait_for_waiters(2)
    ending.result(SOON)
    routing.result(SOON)
    patient.inline.drain()
    assert patient.get(first).status is RunStatus.CANCELLED
    [second] = patient.inline.runs.of_event(event_id)
    # To skip, it may have looked while the first one had not ended yet.
    turned_away = mode == "skip" and second.reason == f"Singleton: run {first.id} has not ended"
    assert second.status is (RunStatus.SKIPPED if turned_away else RunStatus.RUNNING)
