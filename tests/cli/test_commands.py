"""migrate, send, runs and functions, on every database where that may differ."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from celery import Celery

import inngest_celery as inngest
from inngest_celery.cli.settings_table import settings_table
from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.store.rows import RunStatus
from inngest_celery.testing.inline import Inline
from tests.cli.conftest import RunCli
from tests.nursery import ROOT

sqlite = pytest.mark.databases("sqlite")


def test_migrate(cli: RunCli, shop: Celery, empty_database_url: str) -> None:
    shop.conf.inngest_database_url = empty_database_url
    assert "missing" in cli("migrate", "--check", status=1).output
    assert "CREATE TABLE IF NOT EXISTS inngest_run" in cli("migrate", "--sql").output
    assert "missing" in cli("migrate", "--check", status=1).output
    assert "is migrated." in cli("migrate").output
    assert "up to date" in cli("migrate").output
    assert "up to date" in cli("migrate", "--check").output
    cli("migrate", "--sql", "--check", status=2)


@sqlite
def test_send_stores_an_event(cli: RunCli, inline: Inline, database: Database) -> None:
    event_id = cli("send", "shop/ordered", "--data", '{"id": 1}', "--id", "o-1", "--ts", "1700000000000").output.strip()
    with database.engine.connect() as connection:
        row = connection.execute(sa.select(schema.event).where(schema.event.c.id == event_id)).one()
    assert (row.name, json.loads(row.data), row.external_id, row.ts) == (
        "shop/ordered",
        {"id": 1},
        "o-1",
        1_700_000_000_000,
    )
    inline.drain()
    assert [run.status for run in inline.runs.of_event(event_id)] == [RunStatus.RUNNING]


@sqlite
def test_send_reads_data_from_files_and_pipes(cli: RunCli, inline: Inline, database: Database, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"from": "file"}')
    cli("send", "a/b", "--data", f"@{tmp_path / 'data.json'}")
    cli("send", "a/b", "--data", "-", text='{"from": "pipe"}')
    with database.engine.connect() as connection:
        stored = [json.loads(data) for data in connection.execute(sa.select(schema.event.c.data)).scalars()]
    assert sorted(data["from"] for data in stored) == ["file", "pipe"]
    for bad in ("[1]", "{", "@nowhere.json"):
        assert "--data" in cli("send", "a/b", "--data", bad, status=2).output


def test_runs_are_listed(cli: RunCli, inline: Inline) -> None:
    [first] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))
    [second] = inline.send(inngest.Event(name="shop/refused"))
    output = cli("runs", "list").output
    assert output.index(second.id) < output.index(first.id)
    assert "shop-order" in output

    def listed(*options: str) -> list[str]:
        return [run["id"] for run in json.loads(cli("runs", "list", "--json", *options).stdout)]

    assert listed() == [second.id, first.id]
    assert listed("--status", "failed") == [second.id]
    assert listed("--function", "shop-order") == [first.id]
    assert listed("--before", second.id) == [first.id]
    assert listed("--limit", "1") == [second.id]


@sqlite
def test_no_runs(cli: RunCli, inline: Inline) -> None:
    assert cli("runs", "list").output == "No runs.\n"
    assert json.loads(cli("runs", "list", "--json").output) == []


def test_a_run_is_shown_at_every_stage(cli: RunCli, inline: Inline) -> None:
    [run] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))

    output = cli("runs", "show", run.id).output
    assert "charge, attempt 1: ValueError: the bank is closed; again at" in output
    assert "step charge: due in" in output

    inline.advance(timedelta(minutes=5))
    assert "sleep cool down: due in" in cli("runs", "show", run.id).output

    inline.advance(timedelta(hours=2))
    assert "shop/paid where" in (output := cli("runs", "show", run.id).output)
    assert "in step paid, for another 2 d 2" in output

    inline.send(inngest.Event(name="shop/paid", data={"id": 1}))
    output = cli("runs", "show", run.id).output
    assert "completed" in output
    assert "receipt 7" in output
    assert "2 attempts" in output
    assert "▒" in output


def test_a_run_for_programs(cli: RunCli, inline: Inline) -> None:
    [run] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))
    inline.advance(timedelta(hours=2))
    shown = json.loads(cli("runs", "show", run.id, "--json").output)
    assert shown["status"] == "running"
    assert shown["event"]["data"] == {"id": 1}
    assert [(step["id"], step["op"], step["attempts"]) for step in shown["steps"]] == [
        ("charge", "StepRun", 2),
        ("cool down", "Sleep", 1),
    ]
    assert [attempt["error"]["message"] for attempt in shown["failed_attempts"]] == ["the bank is closed"]
    assert [(wait["step"], wait["event"]) for wait in shown["waits"]] == [("paid", "shop/paid")]
    assert [(job["kind"], job["step"]) for job in shown["jobs"]] == [("timeout", "paid")]


@sqlite
def test_a_failed_run_shows_its_error(cli: RunCli, inline: Inline) -> None:
    [run] = inline.send(inngest.Event(name="shop/refused"))
    output = cli("runs", "show", run.id).output
    assert "ValueError: no [brackets] here" in output
    assert "Traceback" in output


@sqlite
def test_cancel(cli: RunCli, inline: Inline) -> None:
    [run] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))
    assert "is cancelled." in cli("runs", "cancel", run.id, "--reason", "by mistake").output
    assert inline.runs.get(run.id).reason == "by mistake"
    cli("runs", "cancel", run.id)
    [ended] = inline.send(inngest.Event(name="shop/refused"))
    assert "(run_already_ended)" in cli("runs", "cancel", ended.id, status=3).output


@sqlite
@pytest.mark.parametrize("command", ["show", "cancel"])
def test_an_unknown_run(cli: RunCli, inline: Inline, command: str) -> None:
    assert "(run_not_found)" in cli("runs", command, "01NOWHERE", status=3).output


@sqlite
def test_an_archived_function_starts_no_runs_but_ends_those_it_has(cli: RunCli, inline: Inline) -> None:
    [run] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))
    assert "is archived." in cli("functions", "archive", "shop-order").output
    assert inline.send(inngest.Event(name="shop/ordered", data={"id": 2})) == []
    inline.advance(timedelta(hours=2))
    inline.send(inngest.Event(name="shop/paid", data={"id": 1}))
    assert inline.runs.get(run.id).status is RunStatus.COMPLETED
    assert "(function_not_found)" in cli("functions", "archive", "shop-order", status=3).output
    assert "(function_not_found)" in cli("functions", "archive", "nothing", status=3).output
    [order, refuse] = json.loads(cli("functions", "list", "--json").output)
    assert order["archived_at"]
    assert refuse["archived_at"] is None


@sqlite
def test_a_paused_function_skips_or_holds_new_runs(cli: RunCli, inline: Inline) -> None:
    assert "new runs are skipped" in cli("functions", "pause", "shop-refuse").output
    [skipped] = inline.send(inngest.Event(name="shop/refused"))
    assert "new runs are held" in cli("functions", "pause", "shop-refuse", "--hold").output
    [held] = inline.send(inngest.Event(name="shop/refused"))
    assert "hold" in cli("functions", "list").output
    assert "held, because the function is paused" in cli("runs", "show", held.id).output
    listed = json.loads(cli("runs", "list", "--json", "--status", "skipped").output)
    assert [(run["id"], run["reason"]) for run in listed] == [(skipped.id, "FunctionPaused")]
    assert "FunctionPaused" in cli("runs", "list", "--status", "skipped").output
    assert "FunctionPaused" in cli("runs", "show", skipped.id).output
    assert "starts runs" in cli("functions", "resume", "shop-refuse").output
    inline.drain()
    assert inline.runs.get(held.id).status is RunStatus.FAILED
    for command in ("pause", "resume", "drain"):
        assert "(function_not_found)" in cli("functions", command, "nothing", status=3).output


@sqlite
def test_a_function_is_drained(cli: RunCli, inline: Inline) -> None:
    [run] = inline.send(inngest.Event(name="shop/ordered", data={"id": 1}))
    assert "is being drained" in cli("functions", "drain", "shop-order").output
    waited = cli("functions", "drain", "shop-order", "--wait", "--timeout", "0", status=5)
    assert "(function_not_idle)" in waited.output
    inline.runs.cancel(run.id)
    assert "has nothing left to do" in cli("functions", "drain", "shop-order", "--wait").output
    [order, _] = json.loads(cli("functions", "list", "--json").output)
    assert order["paused"] == "drain"


@sqlite
def test_functions_are_listed(cli: RunCli, inline: Inline) -> None:
    output = cli("functions", "list").output
    assert "shop-order" in output
    assert "shop/ordered" in output


def test_the_readme_has_the_settings() -> None:
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0]
    assert table.strip() == settings_table(), "put the output of `python -m inngest_celery.cli.settings_table` there"
