"""What limits a run goes with it, from job to job."""

from __future__ import annotations

import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.engine.policies import flow_of
from inngest_celery.engine.spec import Concurrency, FunctionSpec
from inngest_celery.store import schema
from tests.functions.bench import Bench

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
