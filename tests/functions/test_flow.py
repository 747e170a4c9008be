"""What limits a run goes with it, from job to job."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.engine.policies import flow_of
from inngest_celery.engine.spec import Concurrency, FunctionSpec, read_spec
from inngest_celery.store import functions, runs, schema
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench
from tests.functions.test_budget import counting

ONE = Concurrency("concurrency.0", 1, None, "fn")
FLOW = flow_of(FunctionSpec("app-fn", "fn", 4, (), (), (), None, None, concurrency=(ONE,)), {"data": {}}, 0)


def test_every_job_of_a_run_knows_its_limits(bench: Bench) -> None:
    """The next step's, a retry's, a sleep's, a wait's, and the one that the wait's event makes of it."""

    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("fails", fails)
        await ctx.step.sleep("sleep", 1000)
        await ctx.step.wait_for_event("wait", event="test/ready", timeout=3_600_000)
        await ctx.step.run("last", done)

    async def done() -> None:
        pass

    async def fails() -> None:
        bench.calls["fails"] += 1
        if bench.calls["fails"] == 1:
            raise ValueError("once")

    inline, seen = bench.inline, set()
    bench.client.send_sync(inngest.Event(name="test/go"))
    inline.step()
    with bench.database.transaction() as connection:
        connection.execute(sa.update(schema.job).values(flow=FLOW))
    told = False
    while jobs := bench.rows(schema.job, function_id="app-fn"):
        assert {job.flow for job in jobs} == {FLOW}
        seen |= {(job.name, job.kind) for job in jobs}
        if bench.rows(schema.wait) and not told:
            told = True
            bench.client.send_sync(inngest.Event(name="test/ready"))
        elif not inline.step():
            bench.advance(seconds=1)
    assert {("fails", "step"), ("sleep", "sleep"), ("wait", "timeout"), ("wait", "resume")} <= seen
    assert bench.calls["fails"] == 2


@pytest.mark.parametrize("way", ["event", "call", "tick", "debounce", "batch"])
def test_whichever_way_a_run_starts_its_first_job_knows_its_limits(bench: Bench, way: str) -> None:
    limited = {"concurrency": [inngest.Concurrency(limit=1, key="event.data.user")]}
    options: dict[str, dict[str, Any]] = {
        "tick": {"trigger": inngest.TriggerCron(cron="0 * * * *")},
        "debounce": {"debounce": inngest.Debounce(period=1000)},
        "batch": {"batch_events": inngest.Batch(max_size=2, timeout=1000)},
    }

    @bench.function("caller", trigger=inngest.TriggerEvent(event="test/call"))
    async def caller(ctx: inngest.Context) -> None:
        await ctx.step.invoke_by_id("call", function_id="fn", data={"user": "Ada"})

    @bench.function(**limited, **options.get(way, {}))
    async def fn(ctx: inngest.Context) -> None: ...

    inline = bench.inline
    if way != "tick":
        bench.client.send_sync(inngest.Event(name="test/call" if way == "call" else "test/go", data={"user": "Ada"}))
    while not (found := bench.rows(schema.job, function_id="app-fn", kind="start")):
        if not inline.step():
            # No further than to the next job.
            inline.clock.advance(max(min(job.due_at for job in bench.rows(schema.job)) - bench.now, 0))
    [job] = found
    with bench.database.autocommit() as connection:
        stored = functions.get(connection, "app-fn")
        run = runs.get(connection, job.subject_id)
    assert stored is not None
    assert run is not None
    user = None if way == "tick" else "Ada"
    assert job.flow == flow_of(read_spec(stored.config), {"data": {"user": user}}, run.created_at)
    assert job.leased_by is None, "it is flow control that lets it start"
    inline.drain()


@pytest.mark.databases("postgres")
@pytest.mark.brokers("valkey")
def test_limits_cost_no_statement_to_start_with(make_bench: MakeBench, redis_url: str) -> None:
    bench = make_bench(inngest_redis_url=redis_url)

    @bench.function(concurrency=[inngest.Concurrency(limit=1)], throttle=inngest.Throttle(limit=1, period=1000))
    async def fn(ctx: inngest.Context) -> None: ...

    bench.inline  # noqa: B018
    event_ids = [bench.client.send_sync(inngest.Event(name="test/go"))[0] for _ in range(2)]
    with counting(bench):
        # The limits are new to Redis, which is told how things stand.
        bench.route(event_ids[0])
    claimed = bench.claim(event_ids[1], "route")
    assert claimed is not None
    with counting(bench) as bill:
        bench.perform(claimed)
    # The functions, and the start.
    assert (bill.statements, bill.commits) == (2, 2)
    bench.inline.drain()
