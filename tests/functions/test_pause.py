"""Functions that are paused, held or drained: what becomes of new runs, and that runs in progress go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import functions, jobs, schema
from inngest_celery.store.rows import JobKind, RunStatus
from inngest_celery.worker import control as control_module
from inngest_celery.worker.control import FunctionNotRegisteredError
from inngest_celery.worker.registry import functions_of, synchronise
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench
from tests.functions.locks import race

only_sqlite = pytest.mark.databases("sqlite")
SOON = 10.0
HOUR = timedelta(hours=1)


def sleeper(bench: Bench, **options: Any) -> None:
    @bench.function(**options)
    async def fn(ctx: inngest.Context) -> object:
        await ctx.step.sleep("nap", HOUR)
        return ctx.event.data.get("number")

    bench.inline  # noqa: B018


def paused(bench: Bench, mode: str) -> None:
    control = bench.client.control
    {
        "skip": lambda: control.pause("app-fn"),
        "hold": lambda: control.pause("app-fn", mode="hold"),
        "drain": lambda: control.drain("app-fn"),
    }[mode]()


@pytest.mark.parametrize(("mode", "reason"), [("skip", "FunctionPaused"), ("drain", "FunctionDrained")])
def test_new_runs_are_skipped_and_those_in_progress_go_on(bench: Bench, mode: str, reason: str) -> None:
    sleeper(bench)
    before = bench.run(number=1)
    [scheduled] = bench.inline.send(inngest.Event(name="test/go", ts=bench.now + 60_000, data={"number": 2}))
    paused(bench, mode)
    skipped = bench.run(number=3)
    assert (skipped.status, skipped.reason) == (RunStatus.SKIPPED, reason)
    bench.advance(hours=2)
    assert [bench.get(run).output for run in (before, scheduled)] == [1, 2]
    bench.client.control.resume("app-fn")
    assert bench.output(bench.run(number=4)) == 4
    assert bench.get(skipped).status is RunStatus.SKIPPED


def test_held_runs_start_in_their_order_when_it_goes_on(bench: Bench) -> None:
    order: list[object] = []

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        order.append(ctx.event.data["number"])

    bench.inline  # noqa: B018
    paused(bench, "hold")
    held = []
    for number in range(3):
        held += bench.send(number=number)
        bench.advance(minutes=1)
    [later] = bench.inline.send(inngest.Event(name="test/go", ts=bench.now + 7_200_000, data={"number": "later"}))
    bench.advance(days=3)
    assert order == []
    assert {bench.get(run).status for run in [*held, later]} == {RunStatus.SCHEDULED}
    bench.client.control.resume("app-fn")
    bench.inline.drain()
    assert order == [0, 1, 2, "later"], "the last one was due two hours after it was sent, which is long ago"
    assert bench.run(number=4).status is RunStatus.COMPLETED


@only_sqlite
def test_a_held_run_that_is_not_due_yet_waits_on(bench: Bench) -> None:
    sleeper(bench)
    paused(bench, "hold")
    [later] = bench.inline.send(inngest.Event(name="test/go", ts=bench.now + 7_200_000))
    bench.client.control.resume("app-fn")
    bench.advance(hours=1)
    assert bench.get(later).status is RunStatus.SCHEDULED
    bench.advance(hours=1)
    assert bench.get(later).status is RunStatus.RUNNING


def test_a_held_runs_time_to_start_counts_from_its_release(bench: Bench) -> None:
    sleeper(bench, timeouts=inngest.Timeouts(start=3_600_000))
    paused(bench, "hold")
    [run] = bench.inline.send(inngest.Event(name="test/go", data={"number": 1}))
    [late] = bench.inline.send(inngest.Event(name="test/go", ts=bench.now + 14 * 3_600_000))
    bench.advance(hours=12)
    assert bench.get(run).status is RunStatus.SCHEDULED
    bench.client.control.resume("app-fn")
    bench.inline.drain()
    assert bench.get(run).status is RunStatus.RUNNING
    bench.advance(hours=1)
    assert bench.get(run).output == 1
    assert bench.get(late).reason == "not started in time"


@only_sqlite
def test_a_held_run_can_be_cancelled(bench: Bench) -> None:
    sleeper(bench, cancel=[inngest.Cancel(event="test/stop")])
    paused(bench, "hold")
    by_event, by_request = bench.run(), bench.run()
    bench.inline.runs.cancel(by_request.id)
    bench.send("test/stop")
    assert bench.get(by_event).status is RunStatus.CANCELLED
    bench.client.control.resume("app-fn")
    bench.advance(days=1)
    assert bench.get(by_request).status is RunStatus.CANCELLED


@only_sqlite
def test_held_runs_go_on_when_the_function_is_drained(bench: Bench) -> None:
    sleeper(bench)
    paused(bench, "hold")
    held = bench.run(number=1)
    paused(bench, "drain")
    assert bench.run().reason == "FunctionDrained"
    assert not bench.client.control.is_idle("app-fn")
    assert bench.output(held) == 1
    bench.client.control.wait_until_idle("app-fn", timeout=0)


@only_sqlite
def test_many_held_runs_are_let_go_in_steps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "_AT_ONCE", 2)
    sleeper(bench, timeouts=inngest.Timeouts(start=3_600_000))
    paused(bench, "hold")
    held = [bench.run(number=number) for number in range(5)]
    bench.client.control.resume("app-fn")
    assert [bench.output(run) for run in held] == list(range(5))


@only_sqlite
def test_ticks_are_skipped_or_held_too(bench: Bench) -> None:
    @bench.function(trigger=inngest.TriggerCron(cron="0 * * * *"))
    async def fn(ctx: inngest.Context) -> object:
        return ctx.event.data["cron"]

    bench.inline  # noqa: B018
    paused(bench, "skip")
    bench.advance(hours=1)
    paused(bench, "hold")
    bench.advance(hours=1)
    held, skipped = bench.inline.runs.list()
    assert (skipped.reason, held.status) == ("FunctionPaused", RunStatus.SCHEDULED)
    bench.client.control.resume("app-fn")
    assert bench.inline.drain() == 1
    assert bench.get(held).output == "0 * * * *"


@only_sqlite
@pytest.mark.parametrize(("mode", "message"), [("skip", "is paused"), ("drain", "is being drained")])
def test_a_step_that_calls_it_gets_an_error(bench: Bench, mode: str, message: str) -> None:
    sleeper(bench)

    @bench.function("caller", trigger=inngest.TriggerEvent(event="test/call"), retries=0)
    async def caller(ctx: inngest.Context) -> None:
        await ctx.step.invoke_by_id("call", function_id="fn")

    synchronise(runtime_of(bench.app), functions_of(bench.app).values())
    paused(bench, mode)
    error = bench.error(bench.run("test/call"))
    assert error["name"] == "RunSkippedError"
    assert message in error["message"]


@only_sqlite
def test_pausing_outlasts_a_deployment(bench: Bench) -> None:
    sleeper(bench)
    paused(bench, "skip")
    with bench.database.transaction() as connection:
        connection.execute(sa.update(schema.function).values(checksum="of an older version"))
    synchronise(runtime_of(bench.app), functions_of(bench.app).values())
    with bench.database.autocommit() as connection:
        stored = functions.get(connection, "app-fn")
    assert stored is not None
    assert (stored.paused, stored.version) == ("skip", 2)


@only_sqlite
@pytest.mark.parametrize("ask", ["pause", "resume", "drain"])
def test_a_function_that_nobody_has_registered(bench: Bench, ask: str) -> None:
    sleeper(bench)
    with pytest.raises(FunctionNotRegisteredError, match="No function 'fn' is registered") as raised:
        getattr(bench.client.control, ask)("fn")
    assert raised.value.code == "function_not_found"


@only_sqlite
def test_waiting_for_a_function_that_has_something_left_to_do(bench: Bench) -> None:
    sleeper(bench)
    bench.run()
    with pytest.raises(TimeoutError, match="still has runs"):
        bench.client.control.wait_until_idle("app-fn", timeout=0)


# What was put off or collected


@pytest.mark.parametrize("policy", ["debounce", "batch"])
@pytest.mark.parametrize("mode", ["skip", "hold", "drain"])
def test_what_is_pending_when_it_is_paused(bench: Bench, mode: str, policy: str) -> None:
    debounce = inngest.Debounce(period=60_000) if policy == "debounce" else None
    batch = inngest.Batch(max_size=9, timeout=60_000) if policy == "batch" else None

    @bench.function(debounce=debounce, batch_events=batch)
    async def fn(ctx: inngest.Context) -> object:
        return [event.data["number"] for event in ctx.events]

    bench.send(number=1)
    paused(bench, mode)
    control = bench.client.control
    assert not control.is_idle("app-fn")
    bench.advance(minutes=1)
    [run] = bench.inline.runs.list()
    expected = {"skip": RunStatus.SKIPPED, "hold": RunStatus.SCHEDULED, "drain": RunStatus.COMPLETED}
    assert run.status is expected[mode]
    bench.send(number=2)
    control.resume("app-fn")
    bench.advance(minutes=1)
    started = {"skip": [None, None], "hold": [[1], [2]], "drain": [[1], None]}
    assert [found.output for found in reversed(bench.inline.runs.list())] == started[mode]
    assert control.is_idle("app-fn")


# A race


@pytest.mark.databases("postgres", "mariadb")
def test_a_run_is_held_while_the_function_is_let_go_on(make_bench: MakeBench) -> None:
    """No run stays held for ever: the one waits for the other."""
    bench = make_bench(inngest_lease=60)
    sleeper(bench)
    paused(bench, "hold")
    bench.run()
    [event_id] = bench.client.send_sync(inngest.Event(name="test/go"))
    function = schema.function
    lock = sa.select(function).where(function.c.id == "app-fn").with_for_update()
    with race(bench) as racing:
        with racing.holding(lock):
            routing = racing.start(bench.route, event_id)
            racing.wait_for_waiters(1)
            resuming = racing.start(bench.client.control.resume, "app-fn")
            racing.wait_for_waiters(2)
        routing.result(SOON)
        resuming.result(SOON)
    assert all(job.due_at < jobs.HELD_MS for job in bench.rows(schema.job, kind=JobKind.START.value))
    bench.inline.drain()
    assert {run.status for run in bench.inline.runs.list()} == {RunStatus.RUNNING}
