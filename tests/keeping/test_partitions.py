"""Partitions on PostgreSQL: tables become partitioned while they are used, and stay so; what they hold is dropped whole."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from inngest_celery.store import partitioning, partitions, schema
from tests.keeping.conftest import MakeBench

POSTGRES = pytest.mark.databases("postgres")


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
    with bench.database.autocommit() as connection:
        found = partitions.look(connection)
        print(found)
        print(connection.execute(sa.text("explain select * from inngest_step where run_id = '%s'" % after.id)).scalars().all())
