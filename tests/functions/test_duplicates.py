"""A hint that comes twice, a worker that comes back after its lease: one outcome is recorded, and the other refused."""

from __future__ import annotations

from contextvars import Context
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.rows import JobKind, RunStatus
from inngest_celery.worker import turns
from tests.functions.bench import Bench

LEASE_MS = 30_000


def one_step(bench: Bench, fn_id: str = "fn") -> None:
    @bench.function(fn_id)
    async def fn(ctx: inngest.Context) -> Any:
        return await ctx.step.run("step", lambda: bench.calls.update(["step"]) or bench.calls["step"])


def scheduled(bench: Bench) -> Any:
    """Send an event and route it, but leave the run's first job; gives that job."""
    [event_id] = bench.client.send_sync(inngest.Event(name="test/go", ts=bench.now + 60_000))
    bench.inline.drain()
    bench.inline.clock.advance(60_000)
    [run] = bench.inline.runs.of_event(event_id)
    [job] = bench.jobs(run)
    return job


def test_a_held_job_is_not_given_to_another(bench: Bench) -> None:
    one_step(bench)
    job = scheduled(bench)
    held = bench.claim(job.subject_id, job.key, owner="first")
    assert held is not None
    assert bench.claim(job.subject_id, job.key, owner="second") is None
    bench.perform(held)
    bench.inline.drain()
    assert bench.calls == {"step": 1}


def test_a_hint_for_a_job_that_is_done_finds_nothing(bench: Bench) -> None:
    one_step(bench)
    job = scheduled(bench)
    bench.inline.drain()
    assert bench.claim(job.subject_id, job.key) is None
    assert bench.calls == {"step": 1}


def test_whoever_comes_back_after_its_lease_is_refused(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    one_step(bench)
    job = scheduled(bench)
    stale = bench.claim(job.subject_id, job.key, owner="frozen")
    assert stale is not None
    assert stale.job.fence == 1
    bench.inline.clock.advance(LEASE_MS)
    bench.inline.drain()
    run = bench.inline.runs.get(job.subject_id)
    assert (run.status, run.output) == (RunStatus.COMPLETED, 1)
    bench.perform(stale)
    bench.inline.drain()
    assert bench.get(run).output == 1
    assert [step.memo for step in bench.steps(run)] == ['{"data":1}']
    warned = "checkpoint_refused" in [getattr(record, "action", "") for record in caplog.records]
    assert warned is bench.hot, "hop by hop the first job runs no body, so nothing was done in vain"


def test_of_two_waits_that_resume_at_once_one_is_late_and_nobody_is_warned(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        async def wait(name: str) -> None:
            await ctx.step.wait_for_event(name, event=f"test/{name}", timeout=timedelta(hours=1))

        await ctx.group.parallel((lambda: wait("left"), lambda: wait("right")))

    run = bench.run()
    for event_id in bench.client.send_sync([inngest.Event(name="test/left"), inngest.Event(name="test/right")]):
        claimed = bench.claim(event_id, "route")
        assert claimed is not None
        bench.perform(claimed)
    resumed = [bench.claim(job.subject_id, job.key) for job in bench.jobs(run)]
    for claimed in resumed:
        assert claimed is not None
        assert claimed.job.kind is JobKind.RESUME
        bench.perform(claimed)
    assert bench.get(run).status is RunStatus.COMPLETED
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_worker_dies_when_it_has_recorded_its_branch_and_goes_on_with_the_other(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(KeyboardInterrupt):
        pass

    def die_once_both_are_recorded(place: str) -> None:
        if place == "after_checkpoint" and len(bench.rows(schema.step)) == 2 and not bench.calls["died"]:
            bench.calls["died"] += 1
            raise Died

    def branch(name: str) -> None:
        bench.calls[name] += 1
        [run] = bench.inline.runs.list()
        others = [bench.claim(job.subject_id, job.key) for job in bench.jobs(run) if job.leased_by is None]
        for other in others:
            assert other is not None
            # Another worker does not know that this one is inside of a step.
            Context().run(bench.perform, other)

    @bench.function()
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.group.parallel(tuple(partial(ctx.step.run, name, partial(branch, name)) for name in ("left", "right")))

    monkeypatch.setattr(turns, "crash_point", die_once_both_are_recorded)
    with pytest.raises(Died):
        bench.run()
    [job] = bench.rows(schema.job)
    assert job.kind == JobKind.STEP, "the job that the worker kept"
    bench.inline.clock.advance(LEASE_MS)
    bench.inline.drain()
    [run] = bench.inline.runs.list()
    assert bench.get(run).status is RunStatus.COMPLETED
    assert (bench.calls["left"], bench.calls["right"]) == (1, 1)
    assert "step_not_reached" not in [getattr(record, "action", "") for record in caplog.records]


def test_a_stale_step_cannot_write_over_a_run_that_goes_on(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        first = await ctx.step.run("first", lambda: bench.calls.update(["first"]) or bench.calls["first"])
        await ctx.step.sleep("nap", timedelta(days=1))
        return first

    job = scheduled(bench)
    stale = bench.claim(job.subject_id, job.key, owner="frozen")
    assert stale is not None
    bench.inline.clock.advance(LEASE_MS)
    bench.inline.drain()
    before = bench.rows(schema.job)
    bench.perform(stale)
    assert bench.rows(schema.job) == before
    run = bench.inline.runs.get(job.subject_id)
    assert bench.output(run) == 1


def test_a_stale_timer_does_not_wake_twice(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.sleep("nap", 60_000)
        await ctx.step.run("after", lambda: bench.calls.update(["after"]))

    run = bench.run()
    [job] = [each for each in bench.jobs(run) if each.kind == JobKind.SLEEP]
    bench.inline.clock.advance(60_000)
    stale = bench.claim(run.id, job.key, owner="frozen")
    assert stale is not None
    bench.inline.clock.advance(LEASE_MS)
    bench.inline.drain()
    bench.perform(stale)
    bench.inline.drain()
    assert bench.get(run).status is RunStatus.COMPLETED
    assert len([step for step in bench.steps(run) if step.name == "after"]) == 1


def test_an_event_and_a_timeout_at_once(bench: Bench) -> None:
    """The timeout's job is held when the event comes; whichever writes first wins."""

    @bench.function()
    async def fn(ctx: inngest.Context) -> Any:
        event = await ctx.step.wait_for_event("wait", event="test/ready", timeout=60_000)
        return event and "event"

    run = bench.run()
    bench.inline.clock.advance(59_999)
    [job] = bench.jobs(run)
    bench.inline.clock.advance(1)
    late = bench.claim(run.id, job.key, owner="timer")
    if late is None:
        pytest.fail("the timeout is due")
    bench.perform(late)
    bench.send("test/ready")
    assert bench.get(run).output is None

    second = bench.run()
    [job] = bench.jobs(second)
    bench.inline.clock.advance(59_000)
    bench.send("test/ready")
    bench.inline.clock.advance(1_000)
    assert bench.claim(second.id, job.key, owner="timer") is None
    assert bench.get(second).output == "event"


def test_an_event_that_is_routed_twice_starts_one_run(bench: Bench) -> None:
    one_step(bench)
    bench.inline  # noqa: B018
    [event_id] = bench.client.send_sync(inngest.Event(name="test/go"))
    stale = bench.claim(event_id, "route", owner="frozen")
    assert stale is not None
    bench.inline.clock.advance(LEASE_MS)
    bench.inline.drain()
    bench.perform(stale)
    bench.inline.drain()
    assert len(bench.inline.runs.of_event(event_id)) == 1
    assert bench.calls == {"step": 1}


@pytest.mark.databases("sqlite")
def test_a_stale_retry_is_refused(bench: Bench) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> str:
        def flaky() -> str:
            bench.calls["flaky"] += 1
            if bench.calls["flaky"] == 1:
                raise ValueError
            return "done"

        return await ctx.step.run("flaky", flaky)

    job = scheduled(bench)
    stale = bench.claim(job.subject_id, job.key, owner="frozen")
    assert stale is not None
    bench.inline.clock.advance(LEASE_MS)
    bench.inline.drain()
    bench.perform(stale)
    run = bench.inline.runs.get(job.subject_id)
    assert bench.output(run) == "done"
    assert [step.name for step in bench.steps(run)] == ["flaky"]


@pytest.mark.databases("sqlite")
def test_a_run_that_takes_every_worker_down_is_given_up(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        def die() -> None:
            bench.calls["died"] += 1
            raise KeyboardInterrupt

        await ctx.step.run("deadly", die)

    for _ in range(30):
        try:
            bench.send("test/never")
            [run] = bench.inline.runs.list() or bench.send()
            if bench.get(run).ended:
                break
            bench.advance(seconds=30)
        except KeyboardInterrupt:
            bench.inline.clock.advance(LEASE_MS)
    ended = bench.inline.runs.list()[0]
    assert ended.status is RunStatus.FAILED
    assert ended.output["code"] == "worker_lost"  # type: ignore[index]
    assert 5 <= bench.calls["died"] <= 12
