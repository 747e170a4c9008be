"""step.wait_for_event: what resumes it, what does not, and when it gives up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store import jobs
from inngest_celery.store.rows import RunStatus
from inngest_celery.worker.runs import RunInfo
from inngest_celery.worker.turns import MOST_LOST
from tests.functions.bench import Bench

only_sqlite = pytest.mark.databases("sqlite")
DAY = timedelta(days=1)


def waiting(bench: Bench, if_exp: str | None = None, event: str = "test/ready") -> None:
    """Define a function that waits a day for an event and returns its data."""

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        found = await ctx.step.wait_for_event("wait", event=event, if_exp=if_exp, timeout=DAY)
        return None if found is None else [found.name, found.data]


def test_an_event_resumes_the_wait(bench: Bench) -> None:
    waiting(bench)
    run = bench.run()
    bench.send("test/other")
    assert bench.get(run).status is RunStatus.RUNNING
    bench.send("test/ready", number=1)
    assert bench.get(run).output == ["test/ready", {"number": 1}]


def test_a_wait_times_out_with_none(bench: Bench) -> None:
    waiting(bench)
    run = bench.run()
    bench.advance(hours=23)
    assert bench.get(run).status is RunStatus.RUNNING
    bench.advance(hours=1)
    assert (bench.get(run).status, bench.get(run).output) == (RunStatus.COMPLETED, None)
    bench.send("test/ready")


MATCHES = [
    ("event.data.user == async.data.user", {"user": 7}, {"user": 7}, True),
    ("event.data.user == async.data.user", {"user": 7}, {"user": 8}, False),
    ("event.data.user == async.data.user", {"user": 1}, {"user": 1.0}, True),
    ("event.data.user == async.data.user", {"user": 1}, {"user": "1"}, False),
    ("event.data.user == async.data.user", {"user": 1}, {"user": True}, False),
    ("async.data.user == event.data.user && async.data.total > 100", {"user": "ü"}, {"user": "ü", "total": 101}, True),
    ("async.data.user == event.data.user && async.data.total > 100", {"user": "ü"}, {"user": "ü", "total": 99}, False),
    ("async.data.total > event.data.total", {"total": 1}, {"total": 1.5}, True),
    ("async.data.a == 1 || async.data.b == 2", {}, {"b": 2}, True),
    ("async.data.a == 1 || async.data.b == 2", {}, {"c": 2}, False),
    ("async.data.a == 'x' && async.data.b == 'y'", {}, {"a": "x", "b": "y"}, True),
    ("async.data.missing == null", {}, {}, True),
    ("event.data.missing == async.data.missing", {}, {}, True),
    ("async.data.list[0] == event.data.list[0]", {"list": [1]}, {"list": [1, 2]}, True),
    ("async.data.id in event.data.ids", {"ids": [1, 2]}, {"id": 2}, True),
    ("async.name == 'test/ready'", {}, {}, True),
    ("async.data.text.startsWith('ab')", {}, {"text": "abc"}, True),
    ("async.data.text.startsWith('ab')", {}, {"text": 7}, False),
]


@only_sqlite
@pytest.mark.parametrize(("if_exp", "first", "second", "matches"), MATCHES)
def test_expressions(bench: Bench, if_exp: str, first: dict[str, Any], second: dict[str, Any], matches: bool) -> None:
    waiting(bench, if_exp)
    run = bench.run(**first)
    bench.send("test/ready", **second)
    assert (bench.get(run).status is RunStatus.COMPLETED) is matches


def test_an_expression_picks_the_run(bench: Bench) -> None:
    waiting(bench, "event.data.user == async.data.user")
    runs = [bench.run(user=number % 3) for number in range(6)]
    bench.send("test/ready", user=1)
    ended = [bench.get(run).status is RunStatus.COMPLETED for run in runs]
    assert ended == [False, True, False, False, True, False]


def test_one_event_resumes_many_runs(bench: Bench) -> None:
    waiting(bench)
    runs = [bench.run() for _ in range(5)]
    bench.send("test/ready")
    assert {bench.get(run).status for run in runs} == {RunStatus.COMPLETED}


@only_sqlite
def test_two_events_resume_a_wait_once(bench: Bench) -> None:
    waiting(bench)
    run = bench.run()
    bench.inline.send(*(inngest.Event(name="test/ready", data={"number": number}) for number in (1, 2)))
    assert bench.get(run).output == ["test/ready", {"number": 1}]


def test_an_event_before_the_wait_does_not_count(bench: Bench) -> None:
    waiting(bench)
    bench.send("test/ready")
    bench.advance(seconds=1)
    run = bench.run()
    assert bench.get(run).status is RunStatus.RUNNING


def test_the_trigger_does_not_satisfy_its_own_runs_wait(bench: Bench) -> None:
    waiting(bench, event="test/go")
    run = bench.run()
    assert run.status is RunStatus.RUNNING
    bench.send("test/go", number=2)
    assert bench.get(run).output == ["test/go", {"number": 2}]


@only_sqlite
def test_two_waits_on_one_name(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        found = await asyncio.gather(
            ctx.step.wait_for_event("one", event="test/ready", if_exp="async.data.n == 1", timeout=DAY),
            ctx.step.wait_for_event("any", event="test/ready", timeout=DAY),
            ctx.step.wait_for_event("other", event="test/ready", if_exp="async.data.n == 2", timeout=DAY),
        )
        return [event and event.data["n"] for event in found]

    run = bench.run()
    bench.send("test/ready", n=1)
    assert bench.get(run).status is RunStatus.RUNNING
    bench.send("test/ready", n=2)
    assert bench.get(run).output == [1, 1, 2]


@only_sqlite
def test_waits_one_after_the_other_take_one_event_each(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        seen = []
        for _ in range(3):
            event = await ctx.step.wait_for_event("wait", event="test/ready", timeout=DAY)
            seen.append(event and event.data["n"])
        return seen

    run = bench.run()
    for number in range(3):
        bench.advance(seconds=1)
        bench.send("test/ready", n=number)
    assert bench.get(run).output == [0, 1, 2]


def test_an_event_whose_route_comes_late_is_not_taken_again_by_the_next_wait(bench: Bench) -> None:
    def send() -> None:
        # Stored, and not routed yet: the wait that is asked for next looks for itself, and finds it.
        bench.client.send_sync(inngest.Event(name="test/ready", data={"n": 1}))

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        async def after_sending() -> list[Any]:
            await ctx.step.run("send", send)
            first = await ctx.step.wait_for_event("first", event="test/ready", timeout=DAY)
            second = await ctx.step.wait_for_event("second", event="test/ready", timeout=DAY)
            return [first, second]

        async def before() -> list[Any]:
            return [await ctx.step.wait_for_event("before", event="test/ready", timeout=DAY)]

        found = await asyncio.gather(before(), after_sending())
        return [event and event.data["n"] for events in found for event in events]

    run = bench.run()
    assert {step.name for step in bench.steps(run)} == {"send", "before", "first"}, "one that was asked for before, too"
    bench.send("test/ready", n=2)
    assert bench.get(run).output == [1, 1, 2]


def waits_a_minute(bench: Bench) -> RunInfo:
    """Start a run that waits for a minute."""

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        event = await ctx.step.wait_for_event("wait", event="test/ready", timeout=60_000)
        return event and event.data["n"]

    return bench.run()


@pytest.mark.parametrize("first", ["route", "timeout"])
def test_an_event_that_came_in_time_counts_though_no_worker_was_there(bench: Bench, first: str) -> None:
    run = waits_a_minute(bench)
    bench.inline.clock.advance(59_999)
    [event_id] = bench.client.send_sync(inngest.Event(name="test/ready", data={"n": 1}))
    bench.inline.clock.advance(600_000)
    if first == "timeout":
        for _ in range(MOST_LOST + 2):
            [job] = bench.jobs(run)
            claimed = bench.claim(run.id, job.key)
            assert claimed is not None
            bench.perform(claimed)
            assert bench.get(run).status is RunStatus.RUNNING
            bench.inline.clock.advance(60_000)
    bench.route(event_id)
    bench.inline.drain()
    assert bench.get(run).output == 1


def test_an_event_that_came_too_late_does_not_though_no_worker_was_there(bench: Bench) -> None:
    run = waits_a_minute(bench)
    bench.inline.clock.advance(60_000)
    [event_id] = bench.client.send_sync(inngest.Event(name="test/ready", data={"n": 1}))
    bench.route(event_id)
    bench.inline.drain()
    assert bench.get(run).status is RunStatus.COMPLETED
    assert bench.get(run).output is None


def test_what_waits_to_be_routed_and_is_not_waited_for_holds_no_timeout_up(bench: Bench) -> None:
    run = waits_a_minute(bench)
    bench.client.send_sync(inngest.Event(name="test/other"))
    bench.inline.clock.advance(60_000)
    [job] = bench.jobs(run)
    claimed = bench.claim(run.id, job.key)
    assert claimed is not None
    bench.perform(claimed)
    assert bench.get(run).status is RunStatus.COMPLETED
    bench.inline.drain()


def test_an_event_that_is_sent_again_is_not_taken_by_the_next_wait(bench: Bench) -> None:
    """Of two people who have to approve, one whose message comes twice is one."""

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        found = [await ctx.step.wait_for_event(who, event="test/ready", timeout=DAY) for who in ("one", "two")]
        return [event and event.data["by"] for event in found]

    def approve(by: str, event_id: str) -> None:
        bench.advance(minutes=1)
        bench.inline.send(inngest.Event(name="test/ready", id=event_id, data={"by": by}))

    run = bench.run()
    approve("Ada", "1")
    approve("Ada", "1")
    bench.advance(hours=3)
    approve("Ada", "1")
    assert bench.get(run).status is RunStatus.RUNNING
    approve("Bob", "2")
    assert bench.get(run).output == ["Ada", "Bob"]


def test_where_very_many_are_to_be_routed_timeouts_let_all_of_them_pass(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_MANY_ROUTES", 3)
    run = waits_a_minute(bench)
    others = [bench.client.send_sync(inngest.Event(name="test/other"))[0] for _ in range(3)]
    bench.inline.clock.advance(60_000)
    for still_open in (True, False):
        [job] = bench.jobs(run)
        claimed = bench.claim(run.id, job.key)
        assert claimed is not None
        bench.perform(claimed)
        assert (bench.get(run).status is RunStatus.RUNNING) is still_open
        bench.route(others.pop())
        bench.inline.clock.advance(60_000)
    bench.inline.drain()


@only_sqlite
def test_a_wait_for_the_end_of_another_function(bench: Bench) -> None:
    @bench.function("other", trigger=inngest.TriggerEvent(event="test/other"))
    async def other(ctx: inngest.Context) -> str:
        return "result"

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        event = await ctx.step.wait_for_event(
            "wait",
            event="inngest/function.finished",
            if_exp="async.data.function_id == 'app-other'",
            timeout=DAY,
        )
        assert event is not None
        return event.data["result"]

    run = bench.run()
    bench.send("test/other")
    assert bench.get(run).output == "result"


@only_sqlite
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"if_exp": "event.data.a =="}, "expression_invalid"),
        ({"if_exp": "other.data.a == 1"}, "expression_unknown_name"),
        ({"if_exp": ""}, "expression_invalid"),
        ({"timeout": timedelta(days=367)}, "timeout_too_long"),
        ({"timeout": -1}, "step_invalid"),
        ({"timeout": "1h"}, "step_invalid"),
        ({"event": " "}, "step_invalid"),
        ({"event": "x" * 513}, "step_invalid"),
        ({"event": "nul\x00"}, "step_invalid"),
    ],
)
def test_impossible_waits(bench: Bench, options: dict[str, Any], code: str) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.wait_for_event("wait", **{"event": "test/ready", "timeout": DAY, **options})

    run = bench.run()
    assert run.status is RunStatus.FAILED
    assert run.output["code"] == code
    assert '"wait"' in run.output["message"]


@only_sqlite
def test_a_wait_of_no_time_times_out_at_once(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        return await ctx.step.wait_for_event("wait", event="test/ready", timeout=0)

    run = bench.run()
    assert (run.status, run.output) == (RunStatus.COMPLETED, None)


@only_sqlite
def test_the_whole_event_is_given(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        event = await ctx.step.wait_for_event("wait", event="test/ready", timeout=DAY)
        assert event is not None
        return [event.id, event.name, event.ts, event.data]

    run = bench.run()
    sent = inngest.Event(name="test/ready", id="mine", ts=bench.now, data={"a": [1, None, "ü"]})
    bench.inline.send(sent)
    assert bench.get(run).output == ["mine", "test/ready", sent.ts, {"a": [1, None, "ü"]}]
