"""Migrations make exactly the tables that the code has, from nothing, on every database, however many run at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from inngest_celery.store import migrate, outcomes, runs, schema
from inngest_celery.store.database import Database, DatabaseError
from inngest_celery.store.errors import MigrationNeeded, explained
from inngest_celery.store.migrate import (
    VERSION_TABLE,
    MigrationState,
    require_migrated,
    script_of,
    state_of,
    upgrade,
)
from inngest_celery.store.rows import Step, values
from tests.nursery import ROOT

PROCESSES = 3
UPGRADE = """
import sys
from inngest_celery.store.database import Database
from inngest_celery.store.migrate import upgrade
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
upgrade(database)
"""


LATER = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "later", "{head}", None, None

def upgrade():
    op.create_table("inngest_later", sa.Column("id", sa.Integer, primary_key=True))
"""


@pytest.fixture
def database(empty_database_url: str) -> Database:
    return Database(empty_database_url)


def differences(database: Database) -> list[object]:
    """What Alembic would still have to do to come from the tables to the code."""
    options = {"version_table": VERSION_TABLE, "compare_type": True}
    with database.engine.connect() as connection:
        found: list[object] = compare_metadata(
            MigrationContext.configure(connection, opts=options),
            schema.metadata,
        )
    return found


def set_version(database: Database, version: str) -> None:
    with database.transaction() as connection:
        connection.execute(sa.text(f"update {VERSION_TABLE} set version_num = :version"), {"version": version})  # noqa: S608


def test_from_nothing_to_exactly_the_models(database: Database) -> None:
    assert state_of(database) is MigrationState.MISSING
    upgrade(database)
    assert state_of(database) is MigrationState.CURRENT
    assert differences(database) == []


def test_upgrading_again_changes_nothing(database: Database) -> None:
    upgrade(database)
    upgrade(database)
    assert state_of(database) is MigrationState.CURRENT


@pytest.mark.databases("mariadb")
def test_text_is_exact_and_long(database: Database) -> None:
    upgrade(database)
    query = sa.text(
        "select distinct character_set_name, collation_name from information_schema.columns "
        "where table_schema = :name and table_name like 'inngest_%' and table_name <> :version "
        "and collation_name is not null"
    )
    with database.engine.connect() as connection:
        rows = connection.execute(query, {"name": database.url.database, "version": VERSION_TABLE}).all()
        [memo] = [c for c in sa.inspect(connection).get_columns("inngest_step") if c["name"] == "memo"]
    assert rows == [("utf8mb4", "utf8mb4_bin")]
    assert str(memo["type"]).startswith("LONGTEXT")


@pytest.mark.databases("mariadb")
def test_half_a_migration_is_completed(database: Database) -> None:
    """MySQL has no transactions around DDL: a process that dies leaves what it had made."""
    schema.metadata.create_all(database.engine, tables=[schema.event, schema.job])
    with database.engine.begin() as connection:
        connection.execute(sa.schema.DropIndex(next(iter(schema.job.indexes))))
    upgrade(database)
    assert differences(database) == []


def test_processes_that_upgrade_at_once_wait_for_each_other(database: Database, empty_database_url: str) -> None:
    upgrades = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE, empty_database_url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in upgrades:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in upgrades:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60) for process in upgrades]
    assert [process.returncode for process in upgrades] == [0] * PROCESSES, outputs
    assert state_of(database) is MigrationState.CURRENT
    assert differences(database) == []


@pytest.mark.databases("postgres")
def test_tables_in_a_schema_of_their_own(empty_database_url: str) -> None:
    inside, outside = Database(empty_database_url, schema='My "schema'), Database(empty_database_url)
    assert state_of(inside) is MigrationState.MISSING
    upgrade(inside)
    assert state_of(inside) is MigrationState.CURRENT
    assert differences(inside) == []
    assert state_of(outside) is MigrationState.MISSING
    assert sa.inspect(outside.engine).get_table_names() == []
    # Dropped with its tables, so that this database's users do not matter.
    inside.dispose()
    outside.dispose()


def test_the_script_for_hand_work_makes_the_same(database: Database) -> None:
    script = script_of(database)
    with database.engine.connect() as connection:
        for statement in script.split(";\n"):
            lines = [line for line in statement.splitlines() if line.strip() and not line.startswith("--")]
            if lines and lines not in (["BEGIN"], ["COMMIT"]):
                connection.exec_driver_sql("\n".join(lines).replace("%", "%%"))
        connection.commit()
    assert state_of(database) is MigrationState.CURRENT
    assert differences(database) == []


@pytest.mark.databases("postgres")
def test_the_script_makes_the_schema(empty_database_url: str) -> None:
    assert script_of(Database(empty_database_url, schema="jobs")).startswith("CREATE SCHEMA IF NOT EXISTS jobs;")


def test_a_database_that_is_not_migrated_is_refused(database: Database) -> None:
    with pytest.raises(MigrationNeeded, match="inngest migrate") as caught:
        require_migrated(database)
    assert caught.value.code == "database_not_migrated"


@pytest.mark.databases("sqlite")
def test_an_older_release_is_upgraded(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade(database)
    shutil.copytree(ROOT / "migrations", tmp_path / "later")
    [head] = ScriptDirectory(str(ROOT / "migrations")).get_heads()
    (tmp_path / "later" / "versions" / "later.py").write_text(LATER.format(head=head))
    monkeypatch.setattr(migrate, "_location", lambda: tmp_path / "later")
    assert state_of(database) is MigrationState.BEHIND
    with pytest.raises(MigrationNeeded, match="older release"):
        require_migrated(database)
    upgrade(database)
    assert state_of(database) is MigrationState.CURRENT
    assert sa.inspect(database.engine).has_table("inngest_later")


def test_the_release_before_runs_on_after_an_upgrade(database: Database) -> None:
    """It does not number the steps that it records: they keep the order of their times, before those with numbers."""
    upgrade(database)
    before = sa.table("inngest_step", *(sa.column(name) for name in Step.__slots__ if name != "seq"))
    old = [Step("RUN", key, key, "StepRun", "null", False, 0, 1, 1, at) for key, at in (("a", 20), ("b", 10))]
    with database.transaction() as connection:
        for step in old:
            connection.execute(
                sa.insert(before), {name: value for name, value in values(step).items() if name != "seq"}
            )
        outcomes.append(connection, [Step("RUN", "c", "c", "StepRun", "null", False, 0, 1, 1, 5)])
    with database.autocommit() as connection:
        assert [(step.id, step.seq) for step in runs.steps(connection, "RUN")] == [("b", 0), ("a", 0), ("c", 3)]


@pytest.mark.databases("sqlite")
def test_a_newer_release_is_told_from_an_older_one(database: Database) -> None:
    upgrade(database)
    set_version(database, "9999")
    assert state_of(database) is MigrationState.AHEAD
    assert require_migrated(database) is MigrationState.AHEAD


def test_a_missing_table_is_explained(database: Database) -> None:
    with pytest.raises(MigrationNeeded) as caught, explained(database), database.transaction() as connection:
        connection.execute(sa.select(schema.event))
    assert caught.value.code == "database_not_migrated"
    assert "inngest migrate" in str(caught.value)


def test_a_missing_column_is_explained(database: Database) -> None:
    upgrade(database)
    later = sa.Table(schema.lease.name, sa.MetaData(), sa.Column("of_a_later_release"))
    with pytest.raises(MigrationNeeded), explained(database), database.transaction() as connection:
        connection.execute(sa.select(later))


def test_other_errors_pass(database: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError), explained(database), database.transaction() as connection:
        connection.execute(sa.text("no sql"))


UNREACHABLE = {
    "closed port": "postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing",
    "closed port of MySQL": "mysql+pymysql://nobody:secret@127.0.0.1:1/nothing",
    "unknown host": "postgresql+psycopg://nobody:secret@host.invalid/nothing",
    "directory that cannot be made": "sqlite:////dev/null/inngest.db",
    "file that is a directory": "sqlite:////",
    "file that is something else": f"sqlite:///{ROOT / 'LICENSE'}",
}


@pytest.mark.parametrize("url", UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_database_that_does_not_answer_is_explained(url: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        state_of(Database(url))
    assert caught.value.code == "database_unreachable"
    assert "inngest_database_url" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.databases("postgres", "mariadb")
def test_a_database_that_does_not_exist_is_explained(empty_database_url: str) -> None:
    url = sa.make_url(empty_database_url).set(database="inngest_test_nowhere").render_as_string(hide_password=False)
    with pytest.raises(DatabaseError) as caught:
        state_of(Database(url))
    assert caught.value.code == "database_unreachable"
