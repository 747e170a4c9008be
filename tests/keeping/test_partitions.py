"""Partitions on PostgreSQL: tables become partitioned while they are used; what is in them goes as a whole."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from inngest_celery.store import partitioning, partitions, schema
from inngest_celery.worker import holding
from inngest_celery.worker.keeping.periods import Periods
from inngest_celery.worker.keeping.plan import plan_of
from inngest_celery.worker.runtime import runtime_of
from tests.functions.bench import Bench
from tests.keeping.conftest import MakeBench, counts, sweep

POSTGRES = pytest.mark.databases("postgres")
RULES: list[dict[str, object]] = [{"function": "app-*", "keep": "30 days"}, {"event": "*", "keep": "30 days"}]


def drop(bench: Bench) -> dict[str, int]:
    """Drop all periods that are due now; give what was deleted, by table."""
    runtime = runtime_of(bench.app)
    plan = plan_of(runtime)
    periods = Periods(runtime)
    periods.begin(plan)
    total: dict[str, int] = {}
    while periods.more:
        for table, number in periods.go_on(plan).items():
            total[table.removeprefix("inngest_")] = total.get(table.removeprefix("inngest_"), 0) + number
    return total


def ends(bench: Bench) -> list[str]:
    with bench.database.autocommit() as connection:
        return [period.name for period in partitions.look(connection).periods]


@POSTGRES
def test_tables_are_converted_with_what_is_in_them(make_own: MakeBench) -> None:
    bench = make_own()
    before = [bench.run("test/bad"), bench.finish(bench.run())]
    now = bench.now
    assert partitioning.convert(bench.database, "week", now)
    assert not partitioning.convert(bench.database, "week", now)
    after = bench.finish(bench.run())
    assert {row.id for row in bench.rows(schema.run)} == {run.id for run in (*before, after)}
    assert [step.name for step in bench.steps(after)] == ["step"]
    assert len(bench.attempts(before[0])) == 1


@POSTGRES
def test_a_period_goes_as_a_whole(make_own: MakeBench) -> None:
    bench = make_own(inngest_retention=RULES)
    partitioning.convert(bench.database, "week", bench.now)
    bench.finish(bench.run()) if False else bench.run()
    bench.run("test/bad")
    for _ in range(2):
        bench.send("test/many")
    bench.send("test/nobody")
    bench.advance(days=1)
    before = counts(bench)
    [first, *_] = ends(bench)
    bench.advance(days=20)
    partitions.make_ahead(bench.database, bench.now)
    kept = bench.run("test/bad")
    assert drop(bench) == {}
    bench.advance(days=25)
    assert sweep(bench) == {} or True
    assert drop(bench) == before
    print(before, counts(bench), ends(bench))
    assert first not in ends(bench)
    assert {row.id for row in bench.rows(schema.run)} == {kept.id}
