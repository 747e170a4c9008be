"""What steps cost: recorded once, with the step's outcome, against the budget of the run."""

from __future__ import annotations

from contextvars import Context
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.engine import waiting
from inngest_celery.engine.policies import digest, flow_of
from inngest_celery.engine.spec import read_spec
from inngest_celery.experimental.ai import openai
from inngest_celery.store import checkpoint, limits, schema
from inngest_celery.store.changes import Applied
from inngest_celery.store.rows import Event, RunStatus
from inngest_celery.worker import execute, turns
from inngest_celery.worker.runs import RunInfo
from tests.functions.bench import Bench
from tests.sdk import event_server

LEASE_MS = 30_000
DAY = 86_400_000
BUDGET = inngest.Budget(limit=100, period=DAY)
BY_TOKENS = inngest.Budget(limit=100, period=DAY, key="event.data.customer", cost="output.usage.tokens")


def begin(bench: Bench, **data: Any) -> RunInfo:
    """Start a run and leave its first job, which is due."""
    event = inngest.Event(name="test/go", data=data, ts=bench.inline.clock.now() + 60_000)
    [event_id] = bench.client.send_sync(event)
    bench.inline.drain()
    bench.inline.clock.advance(60_000)
    [run] = bench.inline.runs.of_event(event_id)
    [row] = bench.rows(schema.event, id=event_id)
    [function] = bench.rows(schema.function, id=run.function_id)
    variable = waiting.as_variable(Event(**row._mapping))
    with bench.database.transaction() as connection:
        flow = flow_of(read_spec(function.config), variable, 0)
        connection.execute(sa.update(schema.job).where(schema.job.c.subject_id == run.id).values(flow=flow))
    return run


def go(bench: Bench, **data: Any) -> RunInfo:
    return bench.finish(begin(bench, **data))


def costs_of(bench: Bench, run: RunInfo) -> dict[str, float]:
    """Give what each step has cost, by the step's name."""
    names = {step.id: step.name for step in bench.steps(run)}
    return {names[row.step_id]: row.amount for row in bench.rows(schema.cost, run_id=run.id)}


def body(bench: Bench, name: str, output: Any = None) -> Any:
    bench.calls[name] += 1
    return output


def test_steps_say_what_they_cost(bench: Bench) -> None:
    @bench.function(budget=BUDGET)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("fixed", partial(body, bench, "fixed"), cost=1)
        await ctx.step.run("by result", partial(body, bench, "by result", "four"), cost=len)
        await ctx.step.run("nothing", partial(body, bench, "nothing"), cost=0)
        await ctx.step.run("unsaid", partial(body, bench, "unsaid"))
        await ctx.step.sleep("replay", 1000)
        await ctx.step.run("fraction", partial(body, bench, "fraction"), cost=lambda _: 0.25)

    run = go(bench)
    assert run.status is RunStatus.COMPLETED
    assert costs_of(bench, run) == {"fixed": 1, "by result": 4, "fraction": 0.25}
    assert {row.budget for row in bench.rows(schema.cost)} == {"app-fn:budget"}
    assert set(bench.calls.values()) == {1}


def test_a_sync_function_does_so_too(bench: Bench) -> None:
    @bench.function(budget=BUDGET)
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.step.run("step", lambda: {"tokens": 3}, cost=lambda output: output["tokens"])

    assert costs_of(bench, go(bench)) == {"step": 3}


def test_the_budget_reads_costs_from_outputs(bench: Bench) -> None:
    @bench.function(budget=BY_TOKENS)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("asks", lambda: {"usage": {"tokens": 12}})
        await ctx.step.run("says", lambda: {"usage": {"tokens": 12}}, cost=5)
        for number, output in enumerate(("text", None, [1], {"usage": None}, {"usage": {"tokens": 0}})):
            await ctx.step.run(f"has none {number}", partial(body, bench, "none", output))
        await ctx.step.send_event("tell", inngest.Event(name="test/told"))
        await ctx.step.wait_for_event("wait", event="test/never", timeout=1000)

    ours, theirs = go(bench, customer="ours"), go(bench, customer="theirs")
    assert costs_of(bench, ours) == {"asks": 12, "says": 5}
    assert {row.budget for row in bench.rows(schema.cost, run_id=ours.id)} == {f"app-fn:budget:{digest('ours')}"}
    assert {row.budget for row in bench.rows(schema.cost, run_id=theirs.id)} == {f"app-fn:budget:{digest('theirs')}"}


@pytest.mark.databases("sqlite")
def test_an_expression_may_look_at_the_event(bench: Bench) -> None:
    @bench.function(budget=inngest.Budget(limit=1, period=1000, cost="output * event.data.price"))
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("step", lambda: 3)

    assert costs_of(bench, go(bench, price=2)) == {"step": 6}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("said", [None, 2], ids=["by expression", "by the step"])
def test_a_models_answer_costs(bench: Bench, said: float | None) -> None:
    @bench.function(budget=BY_TOKENS)
    async def fn(ctx: inngest.Context) -> None:
        adapter = openai.Adapter(auth_key="secret", base_url=server.url, model="m")
        cost = None if said is None else lambda answer: answer["usage"]["tokens"] * said
        await ctx.step.ai.infer("ask", adapter=adapter, body={}, cost=cost)

    with event_server.running() as server:
        server.answers = [(500, "busy"), (200, '{"usage": {"tokens": 7}}')]
        assert costs_of(bench, go(bench)) == {"ask": 7 * (said or 1)}


@pytest.mark.databases("sqlite")
def test_a_cost_is_told_from_what_the_function_sees(bench: Bench) -> None:
    bench.client.serializer = inngest.PydanticSerializer()

    @bench.function(budget=BUDGET)
    async def fn(ctx: inngest.Context) -> None:
        def cost(output: object) -> float:
            return 1 if output == (1, 2) else 2

        await ctx.step.run("typed", lambda: (1, 2), output_type=tuple[int, int], cost=cost)
        await ctx.step.run("other", lambda: [1, 2], cost=cost)

    assert costs_of(bench, go(bench)) == {"typed": 1, "other": 2}


@pytest.mark.databases("sqlite")
def test_a_cost_is_told_before_middleware_changes_the_output(bench: Bench) -> None:
    class Seal(inngest.MiddlewareSync):
        def transform_output(self, result: inngest.TransformOutputResult) -> None:
            if result.has_output():
                result.output = "sealed"

    @bench.function(budget=inngest.Budget(limit=1, period=1000, cost="size(output)"), middleware=[Seal])
    def fn(ctx: inngest.ContextSync) -> None:
        ctx.step.run("read", lambda: [1, 2, 3])
        ctx.step.run("told", lambda: [1, 2, 3], cost=len)

    assert costs_of(bench, go(bench)) == {"read": 3, "told": 3}


def test_parallel_steps_each_cost(bench: Bench) -> None:
    @bench.function(budget=BUDGET)
    async def fn(ctx: inngest.Context) -> None:
        async def branch(number: int) -> None:
            await ctx.step.run(f"step {number}", lambda: None, cost=number)

        await ctx.group.parallel(tuple(partial(branch, number) for number in (1, 2, 3)))

    assert costs_of(bench, go(bench)) == {"step 1": 1, "step 2": 2, "step 3": 3}


def test_a_failed_attempt_costs_nothing_and_the_one_that_succeeds_costs_once(bench: Bench) -> None:
    @bench.function(budget=BUDGET, retries=2)
    async def fn(ctx: inngest.Context) -> None:
        def flaky() -> int:
            bench.calls["flaky"] += 1
            if bench.calls["flaky"] < 3:
                raise ValueError
            return bench.calls["flaky"]

        await ctx.step.run("flaky", flaky, cost=lambda calls: calls)
        bench.calls["after"] += 1
        if bench.calls["after"] == 1:
            raise ValueError("and the function once more")

    run = go(bench)
    assert run.status is RunStatus.COMPLETED
    assert costs_of(bench, run) == {"flaky": 3}
    assert bench.calls["after"] == 2


def test_a_step_that_fails_for_good_costs_nothing(bench: Bench) -> None:
    @bench.function(budget=BUDGET, retries=0)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("fails", partial(int, "x"), cost=9)

    assert bench.error(begin(bench))["name"] == "ValueError"
    assert not bench.rows(schema.cost)


@pytest.mark.parametrize("place", ["after_body", "before_checkpoint"])
def test_a_body_that_ran_twice_costs_once(bench: Bench, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(KeyboardInterrupt):
        pass

    def die(at: str) -> None:
        if at == place and bench.calls["step"] == 1:
            raise Died

    @bench.function(budget=BUDGET)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("step", partial(body, bench, "step"), cost=lambda _: 10 * bench.calls["step"])

    for module in (execute, turns):
        monkeypatch.setattr(module, "crash_point", die)
    run = begin(bench)
    with pytest.raises(Died):
        bench.inline.drain()
    assert not bench.rows(schema.cost)
    bench.inline.clock.advance(LEASE_MS)
    assert bench.finish(run).status is RunStatus.COMPLETED
    assert bench.calls["step"] == 2
    assert costs_of(bench, run) == {"step": 20}


def test_whoever_comes_back_after_its_lease_costs_nothing(bench: Bench) -> None:
    def slow() -> None:
        bench.calls["step"] += 1
        if bench.calls["step"] == 1:
            [job] = bench.jobs(run)
            bench.inline.clock.advance(LEASE_MS)
            other = bench.claim(run.id, job.key)
            assert other is not None
            # The other worker does not know that this one is inside of a step.
            Context().run(bench.perform, other)

    @bench.function(budget=BUDGET)
    def fn(ctx: inngest.ContextSync) -> None:
        # The first to begin is the last to end.
        ctx.step.run("step", slow, cost=lambda _: bench.calls.update(["ended"]) or 10 * bench.calls["ended"])

    run = begin(bench)
    assert bench.finish(run).status is RunStatus.COMPLETED
    assert bench.calls == {"step": 2, "ended": 2}
    assert costs_of(bench, run) == {"step": 10}


def test_the_worker_learns_what_it_has_recorded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[Applied] = []

    def noted(*arguments: Any) -> Applied:
        learnt.append(apply(*arguments))
        return learnt[-1]

    @bench.function(budget=BUDGET)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("first", lambda: None, cost=1)
        await ctx.step.run("second", lambda: None, cost=2)

    apply = checkpoint.apply
    monkeypatch.setattr(checkpoint, "apply", noted)
    run = go(bench)
    stored = [row._mapping for row in bench.rows(schema.cost, run_id=run.id)]
    told = [vars_of(cost) for applied in learnt for cost in applied.costs]
    assert sorted(told, key=amount) == sorted(stored, key=amount)
    assert [cost["amount"] for cost in told] == [1, 2]


def vars_of(cost: Any) -> dict[str, Any]:
    return {name: getattr(cost, name) for name in cost.__slots__}


def amount(cost: Any) -> float:
    return float(cost["amount"])


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("value", [-1, float("nan"), True, "12", None, 10**400])
def test_a_cost_that_is_none_fails_the_step_at_once(bench: Bench, value: Any) -> None:
    @bench.function(budget=BUDGET, retries=3)
    async def fn(ctx: inngest.Context) -> str:
        try:
            await ctx.step.run("step", partial(body, bench, "step"), cost=lambda _: value)
        except inngest.StepError as error:
            return error.message
        return "went on"

    message = bench.output(begin(bench))
    assert 'the cost of step "step" is ' in message
    [run] = bench.inline.runs.list()
    [step] = bench.steps(run)
    assert step.failed
    assert '"code": "cost_invalid"' in step.memo
    assert bench.calls == {"step": 1}
    assert not bench.rows(schema.cost)


@pytest.mark.databases("sqlite")
def test_a_cost_that_cannot_be_told_fails_the_step_at_once(bench: Bench) -> None:
    @bench.function(budget=BUDGET, retries=3)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("step", partial(body, bench, "step", {}), cost=lambda output: output["tokens"])

    error = bench.error(begin(bench))
    assert "cannot be told: KeyError: 'tokens'" in error["message"]
    assert bench.calls == {"step": 1}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("output", [{"tokens": "12"}, {"tokens": -1}, {"tokens": True}, {"tokens": {}}])
def test_an_expression_that_gives_no_cost_fails_the_step_at_once(bench: Bench, output: Any) -> None:
    @bench.function(budget=inngest.Budget(limit=1, period=1000, cost="output.tokens"), retries=3)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("step", partial(body, bench, "step", output))

    assert 'the cost of step "step" is ' in bench.error(begin(bench))["message"]
    assert bench.calls == {"step": 1}


@pytest.mark.databases("sqlite")
def test_a_cost_that_can_never_be_one_stops_the_function_before_the_step(bench: Bench) -> None:
    @bench.function(retries=3)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("step", partial(body, bench, "step"), cost=-1)

    assert bench.error()["code"] == "cost_invalid"
    assert not bench.calls


@pytest.mark.databases("sqlite")
def test_without_a_budget_costs_count_for_nothing(bench: Bench) -> None:
    @bench.function()
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("step", lambda: None, cost=lambda _: 1)

    assert go(bench).status is RunStatus.COMPLETED
    assert not bench.rows(schema.cost)


@pytest.mark.databases("sqlite")
def test_an_output_that_is_too_large_is_paid_for(bench: Bench) -> None:
    @bench.function(budget=BUDGET)
    async def fn(ctx: inngest.Context) -> None:
        await ctx.step.run("large", lambda: "x" * (5 * 1024 * 1024), cost=8)

    assert bench.error(begin(bench))["code"] == "output_too_large"
    assert [row.amount for row in bench.rows(schema.cost)] == [8]


def test_what_was_spent_since(bench: Bench) -> None:
    """What flow control is rebuilt from."""

    @bench.function(budget=BY_TOKENS)
    async def fn(ctx: inngest.Context) -> None:
        for number in (1, 2, 3):
            await ctx.step.run(f"step {number}", lambda: None, cost=number)
            await ctx.step.sleep(f"nap {number}", 60_000)

    go(bench, customer="ours")
    go(bench, customer="theirs")
    budget = f"app-fn:budget:{digest('ours')}"
    with bench.database.autocommit() as connection:

        def spent(since: int) -> list[tuple[int, float]]:
            # A part for each millisecond, so that nothing is summed up.
            parts = limits.spent_by_part(connection, "app-fn", since, 1)
            return sorted((at, cost) for of, at, cost in parts if of == budget)

        everything = spent(0)
        [first, second, third] = everything
        assert [cost for _, cost in everything] == [1, 2, 3]
        assert second[0] - first[0] >= 60_000
        assert spent(first[0] + 1) == [second, third]
        assert spent(third[0] + 1) == []
