"""What limits, collects, puts off and cancels runs holds for functions of the official SDK as for native ones."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

import inngest as official
import pytest

from inngest_celery.engine.spec import read_spec
from inngest_celery.store import functions
from inngest_celery.store.rows import RunStatus
from tests.functions.bench import Bench
from tests.server.stage import Stage, staged

pytestmark = pytest.mark.databases("sqlite")

TRIGGER = official.TriggerEvent(event="shop/a")


def statuses(stage: Stage) -> list[str]:
    return sorted(run.status.name for run in stage.bench.inline.runs.list())


def test_events_are_collected(stage: Stage) -> None:
    client = stage.client("shop")

    @client.create_function(
        fn_id="fn", trigger=TRIGGER, batch_events=official.Batch(max_size=3, timeout=timedelta(seconds=60))
    )
    async def fn(ctx: official.Context) -> Any:
        return [event.data["n"] for event in ctx.events]

    with stage.app(client, [fn]):
        for number in range(4):
            stage.send("shop/a", n=number)
            stage.drain()
        stage.bench.advance(minutes=2)
    assert sorted(str(run.output) for run in stage.bench.inline.runs.list()) == ["[0, 1, 2]", "[3]"]


def test_events_are_put_off(stage: Stage) -> None:
    client = stage.client("shop")

    @client.create_function(fn_id="fn", trigger=TRIGGER, debounce=official.Debounce(period=timedelta(seconds=10)))
    async def fn(ctx: official.Context) -> Any:
        return ctx.event.data["n"]

    with stage.app(client, [fn]):
        for number in range(3):
            stage.send("shop/a", n=number)
            stage.drain()
        stage.bench.advance(minutes=1)
    assert [run.output for run in stage.bench.inline.runs.list()] == [2]


def test_an_event_cancels_a_run(stage: Stage) -> None:
    client = stage.client("shop")
    cancel = official.Cancel(event="shop/stop", if_exp="event.data.n == async.data.n")

    @client.create_function(fn_id="fn", trigger=TRIGGER, cancel=[cancel])
    async def fn(ctx: official.Context) -> None:
        await ctx.step.sleep("long", timedelta(days=1))

    with stage.app(client, [fn]):
        stopped, other = stage.start("shop/a", n=1), stage.start("shop/a", n=2)
        stage.send("shop/stop", n=1)
        stage.drain()
        assert stage.bench.get(stopped).status is RunStatus.CANCELLED
        assert stage.bench.finish(other).status is RunStatus.COMPLETED


def test_one_run_at_a_time_and_one_a_day(stage: Stage) -> None:
    client = stage.client("shop")

    @client.create_function(fn_id="alone", trigger=TRIGGER, singleton=official.Singleton(mode="skip"))
    async def alone(ctx: official.Context) -> None:
        await ctx.step.sleep("a while", timedelta(minutes=1))

    @client.create_function(fn_id="once", trigger=official.TriggerEvent(event="shop/b"), idempotency="event.data.order")
    async def once(ctx: official.Context) -> None:
        pass

    with stage.app(client, [alone, once]):
        for _ in range(2):
            stage.send("shop/a")
            stage.send("shop/b", order=7)
            stage.drain()
        stage.bench.advance(hours=1)
    assert statuses(stage) == ["COMPLETED", "COMPLETED", "SKIPPED"]


def test_a_run_that_takes_too_long_is_cancelled(stage: Stage) -> None:
    client = stage.client("shop")

    @client.create_function(fn_id="fn", trigger=TRIGGER, timeouts=official.Timeouts(finish=timedelta(minutes=1)))
    async def fn(ctx: official.Context) -> None:
        await ctx.step.sleep("long", timedelta(days=1))

    with stage.app(client, [fn]):
        assert stage.bench.finish(stage.start("shop/a")).status is RunStatus.CANCELLED


def test_a_cron_ticks(stage: Stage) -> None:
    client = stage.client("shop")

    @client.create_function(fn_id="fn", trigger=official.TriggerCron(cron="*/5 * * * *"))
    async def fn(ctx: official.Context) -> Any:
        return ctx.event.name

    with stage.app(client, [fn]):
        stage.bench.advance(minutes=11)
    outputs = [run.output for run in stage.bench.inline.runs.list()]
    assert set(outputs) == {"inngest/scheduled.timer"}
    assert len(outputs) in (2, 3)


@pytest.mark.brokers("valkey")
def test_what_redis_keeps_is_read_as_it_was_written(database_url: str, redis_url: str) -> None:
    """How it is kept is tested with native functions: it is the engine's affair, whatever calls the function."""
    bench = Bench(database_url, inngest_redis_url=redis_url)
    with closing(bench), staged(bench) as stage:
        client = stage.client("shop")

        @client.create_function(
            fn_id="fn",
            trigger=TRIGGER,
            concurrency=[official.Concurrency(limit=2, key="event.data.u", scope="fn")],
            throttle=official.Throttle(limit=10, period=timedelta(minutes=1), burst=2, key="event.data.u"),
            rate_limit=official.RateLimit(limit=5, period=timedelta(hours=1)),
            priority=official.Priority(run="event.data.p"),
        )
        async def fn(ctx: official.Context) -> None:
            pass

        with stage.app(client, [fn]), stage.bench.database.autocommit() as connection:
            row = functions.get(connection, "shop-fn")
        assert row is not None
        spec = read_spec(row.config)
        assert spec.throttle is not None
        assert spec.rate_limit is not None
        assert [(each.limit, each.key, each.scope) for each in spec.concurrency] == [(2, "event.data.u", "fn")]
        assert (spec.throttle.limit, spec.throttle.period_ms, spec.throttle.burst) == (10, 60_000, 2)
        assert (spec.rate_limit.limit, spec.rate_limit.period_ms, spec.priority) == (5, 3_600_000, "event.data.p")


def test_limits_without_a_redis_are_refused(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    client = stage.client("shop")
    throttle = official.Throttle(limit=1, period=timedelta(minutes=1))

    @client.create_function(fn_id="fn", trigger=TRIGGER, throttle=throttle)
    async def fn(ctx: official.Context) -> None:
        pass

    with stage.app(client, [fn]), stage.bench.database.autocommit() as connection:
        assert functions.all_of(connection) == []
    # The SDK says what it was told.
    assert "has limits, which are kept in Redis" in caplog.text
