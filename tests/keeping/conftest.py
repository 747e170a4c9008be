"""Functions that leave rows of every sort, on a database of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.worker.keeping import ending
from inngest_celery.worker.keeping.plan import plan_of
from inngest_celery.worker.runtime import runtime_of
from tests.databases import create_tables
from tests.functions.bench import Bench

MakeBench = Callable[..., Bench]
DAY = timedelta(days=1)
TABLES = (schema.run, schema.step, schema.attempt, schema.cost, schema.run_event, schema.event, schema.job, schema.wait)


@pytest.fixture
def make_bench(database_url: str) -> Iterator[MakeBench]:
    """Makes a bench with settings of the test's own, and these functions."""
    benches: list[Bench] = []

    def make(**settings: object) -> Bench:
        benches.append(Bench(database_url, **settings))
        define(benches[-1])
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def make_own(empty_database_url: str) -> Iterator[MakeBench]:
    """The same on a database that no other test gets: one may do what cannot be undone."""
    create_tables(empty_database_url)
    benches: list[Bench] = []

    def make(**settings: object) -> Bench:
        benches.append(Bench(empty_database_url, **settings))
        define(benches[-1])
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


def define(bench: Bench) -> None:
    fails = iter([ValueError("once")])

    def body() -> str:
        for error in fails:
            raise error
        return "done"

    @bench.function(budget=inngest.Budget(limit=1000, period=DAY))
    def fn(ctx: inngest.ContextSync) -> str:
        return ctx.step.run("step", body, cost=1)

    @bench.function("bad", trigger=inngest.TriggerEvent(event="test/bad"), retries=0)
    def bad(ctx: inngest.ContextSync) -> None:
        raise ValueError("no")

    @bench.function("waits", trigger=inngest.TriggerEvent(event="test/wait"))
    def waits(ctx: inngest.ContextSync) -> object:
        return ctx.step.wait_for_event("it", event="test/never", timeout=300 * DAY)

    @bench.function(
        "batched",
        trigger=inngest.TriggerEvent(event="test/many"),
        batch_events=inngest.Batch(max_size=2, timeout=10_000),
    )
    def batched(ctx: inngest.ContextSync) -> int:
        return len(ctx.events)


def counts(bench: Bench) -> dict[str, int]:
    """Give how many rows there are, where there are any."""
    found = {table.name.removeprefix("inngest_"): len(bench.rows(table)) for table in TABLES}
    return {name: number for name, number in found.items() if number}


def sweep(bench: Bench) -> dict[str, int]:
    """Do all that retention has to do now; give what was deleted, by table."""
    runtime = runtime_of(bench.app)
    plan = plan_of(runtime)
    total: dict[str, int] = {}
    for what, length in ending.lengths(plan):
        more = True
        while more:
            done = ending.go_on(runtime, plan, what, length)
            for table, number in done.counts.items():
                name = table.removeprefix("inngest_")
                total[name] = total.get(name, 0) + number
            more = done.more
    return total


def statements(bench: Bench, action: Callable[[], object]) -> int:
    """Count the statements that something sends to the bench's database."""
    sent = 0

    def note(*_: object) -> None:
        nonlocal sent
        sent += 1

    database = bench.database
    # The one for transactions is made of it, and its statements are told of here, too.
    engine = database.autocommit_engine if database.dialect == "postgresql" else database.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    action()
    sa.event.remove(engine, "before_cursor_execute", note)
    return sent
