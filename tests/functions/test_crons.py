"""Cron triggers: each tick one run, by the clock of the time zone, whoever looks."""

from __future__ import annotations

import datetime
import itertools
import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import inngest_celery as inngest
from inngest_celery.store.rows import JobKind
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench

only_sqlite = pytest.mark.databases("sqlite")
HOUR = 3_600_000


def ticking(bench: Bench, cron: str = "0 * * * *", **options: Any) -> list[int]:
    """Define a function on a cron; gives the list of the times of its ticks."""
    ticks: list[int] = []

    @bench.function(trigger=inngest.TriggerCron(cron=cron, **options))
    async def fn(ctx: inngest.Context) -> None:
        assert ctx.event.name == "inngest/scheduled.timer"
        at = ctx.event.data["scheduledAt"]
        assert isinstance(at, int)
        ticks.append(at)

    return ticks


def test_one_run_a_tick(bench: Bench) -> None:
    ticks = ticking(bench)
    start = bench.now
    bench.advance(hours=5)
    assert len(ticks) == 5
    assert all(tick % HOUR == 0 for tick in ticks)
    assert [later - earlier for earlier, later in itertools.pairwise(ticks)] == [HOUR] * 4
    assert start < ticks[0] <= start + HOUR
    assert len(bench.inline.runs.list()) == 5


@only_sqlite
def test_time_zone(bench: Bench) -> None:
    ticks = ticking(bench, "TZ=Asia/Kolkata 30 9 * * *")
    bench.advance(days=3)
    assert len(ticks) == 3
    for tick in ticks:
        local = datetime.datetime.fromtimestamp(tick / 1000, ZoneInfo("Asia/Kolkata"))
        assert (local.hour, local.minute) == (9, 30)


@only_sqlite
def test_jitter_shifts_a_tick_by_the_same_each_time(make_bench: MakeBench) -> None:
    due = []
    for _ in range(2):
        bench = make_bench()
        ticking(bench, jitter="5m")
        assert bench.now
        [job] = bench.rows_of_crons()
        due.append(job.due_at)
        scheduled = json.loads(job.opts)["scheduled_at"]
        assert 1000 <= job.due_at - scheduled < 300_000
    assert due[0] == due[1]


@only_sqlite
def test_missed_ticks_run_once(bench: Bench) -> None:
    ticks = ticking(bench)
    start = bench.now
    bench.inline.clock.advance(10 * HOUR + 30 * 60_000)
    bench.inline.drain()
    assert len(ticks) == 1
    assert ticks[0] > start + 9 * HOUR, "the latest of them"
    bench.advance(hours=1)
    assert len(ticks) == 2


@only_sqlite
def test_missed_ticks_are_skipped_where_that_is_wanted(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_cron_missed="skip")
    ticks = ticking(bench)
    assert bench.now
    bench.inline.clock.advance(10 * HOUR + 30 * 60_000)
    bench.inline.drain()
    assert ticks == []
    bench.advance(hours=1)
    assert len(ticks) == 1


@only_sqlite
def test_a_changed_cron_ends_the_old_one(make_bench: MakeBench) -> None:
    old = make_bench()
    old_ticks = ticking(old, "0 * * * *")
    old.advance(hours=2)
    new = make_bench()
    new_ticks = ticking(new, "30 * * * *")
    new.inline.clock.advance(old.now - new.now)
    new.inline.drain()
    new_ticks.clear()
    new.advance(hours=3)
    assert len(old_ticks) == 2
    assert len(new_ticks) == 3
    assert all(tick % HOUR == HOUR // 2 for tick in new_ticks)
    assert len(new.rows_of_crons()) == 1


def test_two_workers_do_not_run_a_tick_twice(bench: Bench) -> None:
    ticks = ticking(bench)
    assert bench.now
    [job] = bench.rows_of_crons()
    bench.inline.clock.advance(job.due_at - bench.now)
    first = bench.claim(job.subject_id, job.key, owner="first")
    assert first is not None
    assert bench.claim(job.subject_id, job.key, owner="second") is None
    bench.inline.clock.advance(60_000)
    second = bench.claim(job.subject_id, job.key, owner="second")
    assert second is not None
    bench.perform(second)
    bench.perform(first)
    bench.inline.drain()
    assert len(ticks) == 1
    assert len(bench.rows_of_crons()) == 1


@only_sqlite
def test_a_cron_and_an_event_trigger(bench: Bench) -> None:
    @bench.function(trigger=[inngest.TriggerCron(cron="0 * * * *"), inngest.TriggerEvent(event="test/go")])
    async def fn(ctx: inngest.Context) -> str:
        return ctx.event.name

    assert bench.run().output == "test/go"
    bench.advance(hours=1)
    assert [run.output for run in bench.inline.runs.list()] == ["inngest/scheduled.timer", "test/go"]


@only_sqlite
def test_two_crons_of_one_function(bench: Bench) -> None:
    @bench.function(trigger=[inngest.TriggerCron(cron="0 * * * *"), inngest.TriggerCron(cron="30 * * * *")])
    async def fn(ctx: inngest.Context) -> Any:
        return ctx.event.data["cron"]

    bench.advance(hours=3)
    outputs = [run.output for run in bench.inline.runs.list()]
    assert sorted(outputs) == ["0 * * * *"] * 3 + ["30 * * * *"] * 3  # type: ignore[type-var]


@only_sqlite
def test_a_cron_that_fires_every_minute_is_never_late(bench: Bench) -> None:
    ticks = ticking(bench, "* * * * *")
    bench.advance(minutes=30)
    assert len(ticks) == 30
    assert len(set(ticks)) == 30
    assert {job.kind for job in bench.rows_of_crons()} == {JobKind.CRON}
