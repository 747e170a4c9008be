"""An idempotency expression: one run a day for each value of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.engine.arrival import Arrival
from inngest_celery.engine.keys import idempotency_key
from inngest_celery.engine.spec import read_spec
from inngest_celery.store import functions, schema
from inngest_celery.store.rows import Event, Run, RunStatus, values
from tests.functions.bench import Bench
from tests.functions.conftest import MakeBench
from tests.functions.locks import race

only_sqlite = pytest.mark.databases("sqlite")


def ordering(bench: Bench, expression: str = "event.data.order", **options: Any) -> None:
    @bench.function(idempotency=expression, **options)
    async def fn(ctx: inngest.Context) -> object:
        return ctx.event.data.get("order")


def test_one_run_a_day_for_each_value(bench: Bench) -> None:
    ordering(bench)
    assert [len(bench.send(order=order)) for order in (1, 2, 1, "1", 2)] == [1, 1, 0, 0, 0]
    bench.advance(hours=23, minutes=59)
    assert bench.send(order=1) == []
    bench.advance(minutes=1)
    assert bench.run(order=1).output == 1
    assert len(bench.rows(schema.run)) == 3


@only_sqlite
@pytest.mark.parametrize("order", [None, False])
def test_what_lacks_the_value_is_not_all_the_same(bench: Bench, order: object) -> None:
    ordering(bench)
    data = {} if order is None else {"order": order}
    assert [len(bench.send(**data)) for _ in range(2)] == [1, 1]


@only_sqlite
def test_what_cannot_be_evaluated_is_no_key(bench: Bench) -> None:
    ordering(bench, "int(event.data.order)")
    assert [len(bench.send(order="x")) for _ in range(2)] == [1, 1]


@only_sqlite
def test_an_event_id_holds_where_the_expression_says_nothing(bench: Bench) -> None:
    ordering(bench)
    started = [bench.inline.send(inngest.Event(name="test/go", id="same")) for _ in range(2)]
    assert [len(runs) for runs in started] == [1, 0]


@only_sqlite
def test_functions_do_not_share_values(bench: Bench) -> None:
    ordering(bench)
    ordering(bench, fn_id="other")
    assert [len(bench.send(order=1)) for _ in range(2)] == [2, 0]


def test_a_step_that_calls_for_a_duplicate_gets_an_error(bench: Bench) -> None:
    ordering(bench, fn_id="callee", trigger=inngest.TriggerEvent(event="test/order"))

    @bench.function(retries=0)
    async def fn(ctx: inngest.Context) -> object:
        return await ctx.step.invoke_by_id("call", function_id="callee", data={"order": 1})

    assert bench.run().output == 1
    error: Any = bench.run().output
    assert error["name"] == "RunSkippedError"
    [first, skipped] = reversed(bench.inline.runs.list(function_id="app-callee"))
    assert skipped.status is RunStatus.SKIPPED
    assert skipped.reason == f"Idempotency: run {first.id} was first"
    assert first.id in error["message"]


@pytest.mark.databases("postgres", "mariadb")
def test_two_routers_meet_at_one_value(make_bench: MakeBench) -> None:
    bench = make_bench(inngest_lease=60)
    ordering(bench)
    bench.inline  # noqa: B018
    event_ids = [bench.client.send_sync(inngest.Event(name="test/go", data={"order": 1}))[0] for _ in range(2)]
    with bench.database.autocommit() as connection:
        function = functions.get(connection, "app-fn")
    assert function is not None
    same = Arrival(Event("", "test/go", "", '{"order": 1}', 0, 0))
    key = idempotency_key(read_spec(function.config), same)
    other = Run("0" * 26, "app-fn", event_ids[0], key, RunStatus.SCHEDULED.value, bench.now)
    with race(bench) as racing:
        with racing.holding(sa.insert(schema.run).values(**values(other))):
            routing = [racing.start(bench.route, event_id) for event_id in event_ids]
            racing.wait_for_waiters(2)
        for part in routing:
            part.result(timedelta(seconds=10).total_seconds())
    bench.inline.drain()
    assert len(bench.rows(schema.run)) == 1
