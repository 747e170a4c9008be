"""Partitions on PostgreSQL: tables become partitioned while they are used, and stay as good as they were."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from click.testing import CliRunner

from inngest_celery.cli import main
from inngest_celery.cli.checks import keeping
from inngest_celery.cli.checks.findings import Deployment, Workers
from inngest_celery.settings import settings_of
from inngest_celery.store import audit, migrate, partitioning, partitions, schema
from inngest_celery.store.database import Database
from inngest_celery.store.partitions import TABLES, PartitionError
from inngest_celery.worker.keeping import upkeep
from inngest_celery.worker.keeping.upkeep import Upkeep, keep_up
from inngest_celery.worker.runtime import runtime_of
from tests.conftest import StartWorker
from tests.databases import create_tables
from tests.e2e.shop import Shop
from tests.functions.bench import Bench
from tests.keeping import ada
from tests.keeping.conftest import MakeBench, statements
from tests.keeping.test_erasure import SETTINGS, erase
from tests.store.test_migrate import differences
from tests.worker_process import ROOT

pytestmark = pytest.mark.databases("postgres")
DAY_MS = 86_400_000
CONVERT = """
import sys
from inngest_celery.store.database import Database
from inngest_celery.store.partitioning import convert
convert(Database(sys.argv[1]), "week", int(sys.argv[2]))
"""
LATER = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "later", "{head}", None, None

def upgrade():
    for table in {tables}:
        op.add_column(table, sa.Column("later", sa.String(8), nullable=False, server_default="new"))
        op.create_index(table + "_by_later", table, ["later"])
        op.alter_column(table, "later", type_=sa.String(16))
"""


def look(database: Database) -> partitions.Partitions:
    with database.autocommit() as connection:
        return partitions.look(connection)


def run(database: Database, *statements: str) -> None:
    with database.autocommit() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_tables_are_converted_with_what_is_in_them(make_own: MakeBench) -> None:
    bench = make_own()
    database = bench.database
    before = [bench.run("test/bad"), bench.run()]
    dump = bench.dump()
    run(database, "alter table inngest_step set (autovacuum_vacuum_scale_factor = 0.02)")
    run(database, "create index of_our_own on inngest_step (worker)", "grant select on inngest_step to public")
    assert partitioning.convert(database, "week", bench.now)
    assert not partitioning.convert(database, "week", bench.now)
    with pytest.raises(PartitionError, match="partitioned by week") as refused:
        partitioning.convert(database, "day", bench.now)
    assert refused.value.code == "partition_width_other"
    assert bench.dump() == dump
    found = look(database)
    assert (found.width, len(found.periods) > partitions.AHEAD, found.unfinished) == ("week", True, False)
    bench.advance(days=30)
    keep_up(runtime_of(bench.app))
    after = bench.run()
    assert {row.id for row in bench.rows(schema.run)} == {each.id for each in (*before, after)}
    with database.autocommit() as connection:
        query = f"explain select * from inngest_step where run_id = '{after.id}'"  # noqa: S608
        plan = connection.exec_driver_sql(query).scalars().all()
        touched = {name for each in look(database).periods for name in each.of.values() if name[7:] in "\n".join(plan)}
        [at] = [each for each in look(database).periods if each.has(after.id)]
        inherited = "select reloptions from pg_class where oid = to_regclass(%s)"
        assert connection.exec_driver_sql(inherited, (at.of["inngest_step"],)).scalar_one()
        granted = "select has_table_privilege('public', 'inngest_step', 'select')"
        assert connection.exec_driver_sql(granted).scalar_one()
    assert touched == {at.of["inngest_step"]}
    # What the migrations would have to do is what concerns partitions, and the index that is not ours.
    left = [each for each in differences(database) if each[1].name not in partitions_of(database)]
    assert [str(each[1].name) for each in left if "table" in each[0]] == []
    assert {each[1].name for each in left if each[1].table.name in TABLES} == {"of_our_own"}


def partitions_of(database: Database) -> set[str]:
    found = look(database)
    names = [*found.rest.values(), *(name for period in found.periods for name in period.of.values())]
    return {name.removeprefix("public.") for name in names}


@pytest.mark.databases("sqlite", "mariadb")
def test_other_databases_have_none(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(PartitionError) as refused:
        partitioning.convert(database, "week", 0)
    assert refused.value.code == "partition_unsupported"
    assert look(database) == partitions.Partitions()


@pytest.mark.parametrize(
    ("made", "code", "told"),
    [
        ("create view ours as select * from inngest_event", "partition_tables_changed", "ours"),
        ("create unique index alone on inngest_event (received_at)", "partition_tables_changed", "alone"),
        (
            "create table other (id varchar(26) references inngest_event)",
            "partition_tables_changed",
            "RI_ConstraintTrigger",
        ),
        (
            "insert into inngest_event values ('7ZZZZZZZZZZZZZZZZZZZZZZZZZ', 'n', 'x', '{}', 1, 1)",
            "partition_ids_late",
            "clock was wrong",
        ),
    ],
)
def test_what_would_not_follow_is_refused(make_own: MakeBench, made: str, code: str, told: str) -> None:
    bench = make_own()
    run(bench.database, made)
    with pytest.raises(PartitionError, match=told) as refused:
        partitioning.convert(bench.database, "week", bench.now)
    assert refused.value.code == code
    assert look(bench.database) == partitions.Partitions()
    bench.run()


def test_a_database_that_sorts_ids_otherwise_is_refused(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    name = f"{database.url.database}_cs"
    run(database, f'create database "{name}" template template0 locale_provider icu icu_locale "cs" locale "C"')
    other = Database(database.url.set(database=name).render_as_string(hide_password=False))
    try:
        create_tables(other.url.render_as_string(hide_password=False))
        with pytest.raises(PartitionError) as refused:
            partitioning.convert(other, "week", 0)
        assert refused.value.code == "partition_collation"
    finally:
        other.dispose()
        run(database, f'drop database "{name}" with (force)')


def test_tables_in_a_schema_of_their_own(empty_database_url: str) -> None:
    database = Database(empty_database_url, schema='My "schema')
    migrate.upgrade(database)
    assert partitioning.convert(database, "month", 0)
    found = look(database)
    assert (found.width, len(found.periods) > partitions.AHEAD) == ("month", True)
    partitions.make_ahead(database, 90 * DAY_MS)
    assert len(look(database).periods) > len(found.periods)
    database.dispose()


def test_it_is_done_on_the_command_line(make_own: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_own()
    module = ModuleType("partition_test_app")
    module.app = bench.app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def cli(*words: str, status: int = 0) -> str:
        result = CliRunner().invoke(main, ["-A", module.__name__, "partition", *words])
        assert result.exit_code == status, result.output
        return result.output

    assert "not partitioned" in cli("status")
    assert "partitioned by week" in cli("convert", "--by", "week")
    assert "already" in cli("convert", "--by", "week")
    assert "(partition_width_other)" in cli("convert", "--by", "day", status=2)
    assert "in no period" in cli("status")
    told = json.loads(cli("status", "--json"))
    assert (told["by"], len(told["periods"]) > partitions.AHEAD, told["periods"][0]["bytes"] > 0) == (
        "week",
        True,
        True,
    )
    assert "Nothing is missing" in cli("upkeep")
    bench.inline.clock.advance(30 * DAY_MS)
    assert "4 period(s)" in cli("upkeep")
    with bench.database.autocommit() as connection:
        done = [row.action for row, _ in audit.page(connection, audit.AuditFilter(None, None, None), 10, None)]
    assert done == ["partition.convert"] * 3


def test_one_converts_at_a_time_and_waits_for_nobody_for_ever(
    make_own: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitioning, "_TRIES", 2)
    bench = make_own()
    with bench.database.autocommit() as other:
        other.execute(sa.text("select pg_advisory_lock(hashtext('inngest_partitioning'))"))
        with pytest.raises(PartitionError) as refused:
            partitioning.convert(bench.database, "week", bench.now)
        assert refused.value.code == "partition_going_on"
        other.execute(sa.text("select pg_advisory_unlock_all()"))
    with bench.database.transaction() as other:
        other.execute(sa.select(schema.step))
        with pytest.raises(PartitionError) as refused:
            partitioning.convert(bench.database, "week", bench.now)
        assert refused.value.code == "partition_tables_busy"
    assert look(bench.database) == partitions.Partitions()
    assert partitioning.convert(bench.database, "week", bench.now)


def test_a_conversion_that_is_killed_goes_on_or_has_not_happened(make_own: MakeBench, tmp_path: Path) -> None:
    bench = make_own()
    before = [bench.run("test/bad")]
    database = bench.database
    arguments = [sys.executable, "-c", CONVERT, database.url.render_as_string(hide_password=False), str(bench.now)]
    environment = {"PYTHONPATH": str(ROOT), "INNGEST_TEST_CRASH": str(tmp_path)}

    def convert() -> int:
        return subprocess.run(arguments, env=environment, timeout=60).returncode

    for place in ("partition_checked", "partition_validated", "partition_before_commit"):
        (tmp_path / place).touch()
        assert convert() == -signal.SIGKILL, place
        assert (look(database).width, look(database).unfinished) == (None, True)
        assert "partitioning_unfinished" in findings(bench)
        before.append(bench.run("test/bad"))
    # A worker finds it, and nothing is refused later.
    keep_up(runtime_of(bench.app))
    assert look(database) == partitions.Partitions()
    for place in ("partition_swapped", "partitions_before_commit"):
        (tmp_path / place).touch()
        assert convert() == -signal.SIGKILL, place
        assert (look(database).width, look(database).unfinished, len(look(database).periods)) == ("week", False, 1)
    assert convert() == 0
    assert len(look(database).periods) > partitions.AHEAD
    assert {row.id for row in bench.rows(schema.run)} == {each.id for each in before}
    assert len(bench.rows(schema.attempt)) == len(before)
    bench.run()


@pytest.mark.brokers("valkey")
def test_workers_go_on_meanwhile(
    empty_database_url: str, broker_url: str, tmp_path: Path, start_worker: StartWorker
) -> None:
    create_tables(empty_database_url)
    shop = Shop(empty_database_url, broker_url, tmp_path, start_worker)
    worker = shop.worker(pool="prefork", concurrency=2)
    shop.place(4)
    # Every process has statements prepared for the plain tables, and runs are in the middle of their steps.
    shop.wait_for_bodies(6)
    database = shop.runtime.database
    assert partitioning.convert(database, "day", shop.runtime.clock.now())
    shop.place(4)
    shop.wait_for_runs()
    shop.check(repeats=0)
    assert "ERROR" not in worker.log
    shop.close()


def findings(bench: Bench) -> list[str]:
    app = bench.app
    deployment = Deployment(app, runtime_of(app), settings_of(app), True, True, Workers(), {}, {})
    return [finding.code for finding in keeping.parts(deployment)]


def test_upkeep_makes_what_is_missing_and_copes_with_being_late(make_own: MakeBench) -> None:
    bench = make_own()
    database, runtime = bench.database, runtime_of(bench.app)
    assert findings(bench) == []
    partitioning.convert(database, "week", bench.now)
    assert findings(bench) == []
    assert statements(bench, lambda: keep_up(runtime)) == 4
    last = look(database).periods[-1]
    bench.advance(days=(last.end_ms - bench.now) / DAY_MS - 2)
    assert findings(bench) == ["partition_missing"]
    bench.advance(days=10)
    late = bench.run("test/bad")
    assert findings(bench) == ["partition_late"]
    assert not [each for each in look(database).periods if each.has(late.id)]
    assert keep_up(runtime) > 1
    assert findings(bench) == []
    [at] = [each for each in look(database).periods if each.has(late.id)]
    with database.autocommit() as connection:
        rest = look(database).rest["inngest_attempt"]
        assert connection.exec_driver_sql(f"select count(*) from {rest}").scalar_one() == 0  # noqa: S608
        there = f"select run_id from {at.of['inngest_attempt']}"  # noqa: S608
        assert connection.exec_driver_sql(there).scalars().all() == [late.id]
    assert len(bench.attempts(late)) == 1


def test_a_worker_looks_every_hour(make_own: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_own()
    chore = Upkeep(runtime_of(bench.app))
    assert chore.is_due
    chore.begin()
    assert not chore.is_due
    # Where nothing is partitioned, it is one statement.
    assert statements(bench, chore.look) == 1
    partitioning.convert(bench.database, "day", bench.now)
    bench.advance(days=30)
    monkeypatch.setattr(upkeep, "_BUSY_AGAIN_S", 0.0)
    monkeypatch.setattr(partitions, "_TRIES", 1)
    with bench.database.transaction() as other:
        other.execute(sa.select(schema.step))
        chore.look()
        assert chore.is_due
    chore.look()
    assert look(bench.database).periods[-1].end_ms > bench.now


def test_whoever_does_not_own_the_tables_is_told(make_own: MakeBench, caplog: pytest.LogCaptureFixture) -> None:
    bench = make_own()
    database = bench.database
    partitioning.convert(database, "day", bench.now)
    bench.advance(days=30)
    name = f"{database.url.database}_user"
    run(
        database,
        f'create role "{name}" login',
        f'grant select, insert, update, delete on all tables in schema public to "{name}"',
    )
    other = Bench(database.url.set(username=name).render_as_string(hide_password=False))
    try:
        other.inline.clock.advance(bench.now - other.now)
        assert other.database.url.username == name
        assert not look(other.database).owned
        chore = Upkeep(runtime_of(other.app))
        chore.begin()
        chore.look()
        assert "partition upkeep" in caplog.text
        assert not chore.is_due
        assert findings(other) == ["partition_missing", "partitions_not_owned"]
    finally:
        other.database.dispose()
        other.close()
        run(database, f'drop owned by "{name}"', f'drop role "{name}"')


def test_migrations_go_on_with_partitions(make_own: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_own()
    bench.run("test/bad")
    partitioning.convert(bench.database, "day", bench.now)
    shutil.copytree(ROOT / "migrations", tmp_path / "later")
    [head] = ScriptDirectory(str(ROOT / "migrations")).get_heads()
    (tmp_path / "later" / "versions" / "later.py").write_text(LATER.format(head=head, tables=TABLES))
    monkeypatch.setattr(migrate, "_location", lambda: tmp_path / "later")
    migrate.upgrade(bench.database)
    bench.advance(days=30)
    keep_up(runtime_of(bench.app))
    late = bench.run("test/bad")
    with bench.database.autocommit() as connection:
        query = sa.text("select run_id, later from inngest_attempt order by run_id")
        found = connection.execute(query).all()
        indexed = sa.text(
            "select count(*) from pg_indexes where indexdef ~ '[(]later[)]' and tablename ~ 'attempt_day'"
        )
        assert connection.execute(indexed).scalar_one() == len(look(bench.database).periods) + 1
    assert (len(found), found[-1]) == (2, (late.id, "new"))


def test_erasure_finds_all_in_partitions(make_own: MakeBench, empty_database_url: str) -> None:
    bench = Bench(empty_database_url, **SETTINGS)
    try:
        ada.define(bench)
        ada.live(bench)
        partitioning.convert(bench.database, "day", bench.now)
        bench.advance(days=9)
        ada.live(bench)
        assert ada.ADA.encode() in ada.stored(bench.database)
        erase(bench)
        assert ada.ADA.encode() not in ada.stored(bench.database)
    finally:
        bench.close()
