"""Cancellation: by event, by request, by time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runs import RunEndedError, RunNotFoundError
from tests.functions.bench import Bench

only_sqlite = pytest.mark.databases("sqlite")
DAY = timedelta(days=1)


def sleeper(bench: Bench, **options: Any) -> None:
    @bench.function(**options)
    async def fn(ctx: inngest.Context) -> str:
        await asyncio.gather(
            ctx.step.sleep("nap", DAY),
            ctx.step.wait_for_event("wait", event="test/ready", timeout=DAY),
        )
        return await ctx.step.run("after", lambda: "done")


def cancel_on(if_exp: str | None = None, timeout: timedelta | None = None) -> list[inngest.Cancel]:
    return [inngest.Cancel(event="test/stop", if_exp=if_exp, timeout=timeout)]


def test_an_event_cancels(bench: Bench) -> None:
    sleeper(bench, cancel=cancel_on())
    run = bench.run()
    bench.send("test/stop")
    ended = bench.get(run)
    assert ended.status is RunStatus.CANCELLED
    assert "test/stop" in (ended.reason or "")
    assert not bench.jobs(run)
    assert not bench.rows(schema.wait, run_id=run.id)
    bench.advance(days=3)
    assert bench.get(run).status is RunStatus.CANCELLED
    assert [row.name for row in bench.events("inngest/function.cancelled")] == ["inngest/function.cancelled"]


def test_an_expression_picks_the_runs_to_cancel(bench: Bench) -> None:
    sleeper(bench, cancel=cancel_on("event.data.user == async.data.user"))
    runs = [bench.run(user=number) for number in range(4)]
    bench.send("test/stop", user=2)
    stopped = [bench.get(run).status is RunStatus.CANCELLED for run in runs]
    assert stopped == [False, False, True, False]


@only_sqlite
def test_only_for_a_time(bench: Bench) -> None:
    sleeper(bench, cancel=cancel_on(timeout=timedelta(hours=1)))
    early, late = bench.run(), bench.run()
    bench.advance(minutes=59)
    bench.send("test/stop")
    assert {bench.get(early).status, bench.get(late).status} == {RunStatus.CANCELLED}
    survivor = bench.run()
    bench.advance(minutes=61)
    bench.send("test/stop")
    assert bench.output(survivor) == "done"


@only_sqlite
def test_the_trigger_does_not_cancel_its_own_run_but_older_ones(bench: Bench) -> None:
    sleeper(bench, cancel=[inngest.Cancel(event="test/go")])
    first = bench.run()
    assert first.status is RunStatus.RUNNING
    bench.advance(seconds=1)
    second = bench.run()
    assert bench.get(first).status is RunStatus.CANCELLED
    assert second.status is RunStatus.RUNNING


@only_sqlite
def test_an_event_before_the_run_does_not_cancel_it(bench: Bench) -> None:
    sleeper(bench, cancel=cancel_on())
    bench.send("test/stop")
    bench.advance(seconds=1)
    assert bench.output(bench.run()) == "done"


def test_what_comes_after_the_trigger_cancels_though_it_is_routed_before(bench: Bench) -> None:
    sleeper(bench, cancel=cancel_on("event.data.user == async.data.user"))
    bench.inline  # noqa: B018
    started = [bench.client.send_sync(inngest.Event(name="test/go", data={"user": user}))[0] for user in (1, 2)]
    bench.inline.clock.advance(1)
    [stop] = bench.client.send_sync(inngest.Event(name="test/stop", data={"user": 2}))
    bench.route(stop)
    bench.inline.drain()
    first, second = (bench.inline.runs.of_event(event_id)[0] for event_id in started)
    assert first.status is RunStatus.RUNNING
    assert (second.status, second.reason) == (RunStatus.CANCELLED, f"cancelled by event test/stop ({stop})")
    assert not bench.jobs(second)
    assert not bench.rows(schema.wait, run_id=second.id)
    assert len(bench.events("inngest/function.cancelled")) == 1


def test_what_comes_before_the_trigger_does_not_cancel_though_it_is_routed_after(bench: Bench) -> None:
    """As one does who puts off a reminder: the old one is to end, and a new one to begin."""
    sleeper(bench, cancel=cancel_on("event.data.user == async.data.user"))
    old = bench.run(user=1)
    bench.inline.clock.advance(1)
    stop, go = bench.client.send_sync(
        [inngest.Event(name="test/stop", data={"user": 1}), inngest.Event(name="test/go", data={"user": 1})]
    )
    bench.route(go)
    bench.route(stop)
    bench.inline.drain()
    assert bench.get(old).status is RunStatus.CANCELLED
    [new] = bench.inline.runs.of_event(go)
    assert new.status is RunStatus.RUNNING


@only_sqlite
def test_a_call_that_was_cancelled_before_it_began_tells_its_caller(bench: Bench) -> None:
    @bench.function("child", trigger=inngest.TriggerEvent(event="test/never"), cancel=cancel_on())
    async def child(ctx: inngest.Context) -> None:
        bench.calls["child"] += 1

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.invoke("call", function=child)

    bench.inline  # noqa: B018
    [go] = bench.client.send_sync(inngest.Event(name="test/go"))
    bench.route(go)
    # The call is stored, and not routed yet.
    [call] = bench.events("inngest/function.invoked")
    bench.inline.clock.advance(1)
    [stop] = bench.client.send_sync(inngest.Event(name="test/stop"))
    bench.route(stop)
    bench.inline.drain()
    [run] = bench.inline.runs.of_event(go)
    assert run.status is RunStatus.FAILED
    assert "cancelled" in str(run.output)
    assert bench.inline.runs.of_event(call.id)[0].status is RunStatus.CANCELLED
    assert not bench.calls


def test_a_run_that_has_not_started_can_be_cancelled(bench: Bench) -> None:
    sleeper(bench, cancel=cancel_on())
    [run] = bench.inline.send(inngest.Event(name="test/go", ts=bench.now + 3_600_000))
    bench.send("test/stop")
    assert bench.get(run).status is RunStatus.CANCELLED


def test_by_request(bench: Bench) -> None:
    sleeper(bench)
    run = bench.run()
    ended = bench.client.runs.cancel(run.id, reason="not needed")
    assert (ended.status, ended.reason) == (RunStatus.CANCELLED, "not needed")
    assert ended.output == {"name": "Cancelled", "message": "function cancelled", "stack": None, "code": "cancelled"}
    assert bench.client.runs.cancel(run.id).status is RunStatus.CANCELLED, "once more is no error"


def test_an_ended_run_cannot_be_cancelled(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        return "done"

    run = bench.run()
    with pytest.raises(RunEndedError, match="completed") as raised:
        bench.inline.runs.cancel(run.id)
    assert raised.value.code == "run_already_ended"
    assert bench.get(run).output == "done"


@only_sqlite
@pytest.mark.parametrize("ask", ["get", "cancel", "wait"])
def test_a_run_that_does_not_exist(bench: Bench, ask: str) -> None:
    sleeper(bench)
    with pytest.raises(RunNotFoundError) as raised:
        getattr(bench.inline.runs, ask)("01HF7YAT000000000000000001")
    assert raised.value.code == "run_not_found"


def test_what_a_step_gives_after_the_cancellation_is_dropped(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> str:
        await ctx.step.run("first", lambda: "kept")
        await ctx.step.run("second", lambda: bench.inline.runs.cancel(ctx.run_id) and "dropped")
        return await ctx.step.run("third", lambda: bench.calls.update(["third"]) or "never")

    run = bench.run()
    assert run.status is RunStatus.CANCELLED
    assert [step.name for step in bench.steps(run)] == ["first"]
    assert not bench.calls


def test_not_finished_in_time(bench: Bench) -> None:
    sleeper(bench, timeouts=inngest.Timeouts(finish=timedelta(hours=2)))
    run = bench.run()
    bench.advance(hours=1, minutes=59)
    assert bench.get(run).status is RunStatus.RUNNING
    bench.advance(minutes=2)
    ended = bench.get(run)
    assert (ended.status, ended.reason) == (RunStatus.CANCELLED, "not finished in time")


@only_sqlite
def test_the_time_to_finish_begins_when_the_run_does(bench: Bench) -> None:
    sleeper(bench, timeouts=inngest.Timeouts(finish=timedelta(hours=30)))
    [run] = bench.inline.send(inngest.Event(name="test/go", ts=bench.now + 20 * 3_600_000))
    assert bench.output(run) == "done"


@only_sqlite
def test_not_started_in_time(bench: Bench) -> None:
    sleeper(bench, timeouts=inngest.Timeouts(start=timedelta(hours=1)))
    [run] = bench.inline.send(inngest.Event(name="test/go", ts=bench.now + 2 * 3_600_000))
    bench.advance(hours=1, minutes=1)
    ended = bench.get(run)
    assert (ended.status, ended.reason) == (RunStatus.CANCELLED, "not started in time")


@only_sqlite
def test_started_in_time(bench: Bench) -> None:
    sleeper(bench, timeouts=inngest.Timeouts(start=timedelta(hours=1), finish=timedelta(days=2)))
    assert bench.output(bench.run()) == "done"


@only_sqlite
def test_a_retrying_run_can_be_cancelled(bench: Bench) -> None:
    @bench.function(retries=5, cancel=cancel_on())
    async def fn(ctx: inngest.Context) -> None:
        raise ValueError

    run = bench.run()
    bench.send("test/stop")
    assert bench.get(run).status is RunStatus.CANCELLED
