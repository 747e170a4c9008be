"""erase and receipt on the command line: asked, refused, killed in the middle, finished, verified."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery

import inngest_celery as inngest
from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.testing.inline import Inline
from inngest_celery.worker.erasing.receipts import new_key
from inngest_celery.worker.runtime import runtime_of
from tests.cli.conftest import RunCli
from tests.worker_process import ROOT

pytestmark = pytest.mark.databases("sqlite")
WHERE = 'event.data.email == "ada@example.com"'


def rows(database: Database) -> dict[str, int]:
    with database.autocommit() as connection:
        return {table.name: len(connection.execute(table.select()).all()) for table in schema.metadata.sorted_tables}


def anew(app: Celery) -> None:
    """Have the settings read anew; the clock stays."""
    for made in ("settings", "database"):
        runtime_of(app).__dict__.pop(made, None)


@pytest.fixture
def keys(shop: Celery, inline: Inline) -> str:
    """The public key of the receipts."""
    private, public = new_key()
    shop.conf.update(inngest_subject_key="a key for the tests", inngest_receipt_key=private)
    shop.conf.inngest_subjects = {"email": ["event.data.email"]}
    anew(shop)
    return public


def test_a_person_is_erased_and_the_receipt_proves_it(
    cli: RunCli, inline: Inline, database: Database, keys: str, tmp_path: Path
) -> None:
    for email in ("ada@example.com", "bob@example.com"):
        inline.send(inngest.Event(name="shop/refused", data={"email": email}))
    counted = json.loads(cli("erase", "--subject", "email=ada@example.com", "--dry-run", "--json").stdout)
    assert (counted["runs"], counted["events"], counted["live"]) == (1, 3, 0)
    assert "1 runs, 3 events" in cli("erase", "--where", WHERE, "--dry-run").output
    file = tmp_path / "ada.json"
    assert "(confirmation_needed)" in cli("erase", "--where", WHERE, status=2).output
    assert len(inline.runs.list()) == 2
    done = cli("erase", "--where", WHERE, "--yes", "--receipt", str(file))
    assert "Erased: 1 in inngest_attempt, 3 in inngest_event, 1 in inngest_run" in done.output
    assert len(inline.runs.list()) == 1
    assert "ada@" not in file.read_text()
    assert "The signature is right." in cli("receipt", "verify", str(file)).output
    told = json.loads(cli("receipt", "verify", str(file), "--key", keys, "--json").stdout)
    assert (told["items"], told["rows"]["inngest_run"]) == (4, 1)
    again = tmp_path / "again.json"
    cli("receipt", "write", told["erasure"], str(again))
    assert again.read_text() == file.read_text()
    file.write_text(file.read_text().replace('"inngest_run": 1', '"inngest_run": 0'))
    assert "(receipt_tampered)" in cli("receipt", "verify", str(file), status=2).output
    assert "Erased: nothing" in cli("erase", "--where", WHERE).output
    cli("hold", "add", "--reason", "case", "--function", "shop-refuse")
    bobs = 'event.data.email == "bob@example.com"'
    assert "(erasure_held_back)" in cli("erase", "--where", bobs, "--yes", status=1).output
    assert len(inline.runs.list()) == 1


def test_what_is_not_meant_changes_nothing(cli: RunCli, inline: Inline, database: Database, keys: str) -> None:
    inline.send(inngest.Event(name="shop/ordered", data={"email": "ada@example.com"}))
    before = rows(database)
    for options, code, status in (
        (("--where", "event.data.email =="), "(expression_", 2),
        (("--where", " "), "(expression_invalid)", 2),
        (("--subject", "phone=1"), "(subject_not_found)", 3),
        (("--subject", "email"), "NAME=VALUE", 2),
        ((), "either --where or --subject", 2),
        (("--resume", "E"), "(erasure_not_found)", 3),
        (("--where", WHERE), "(erasure_live_runs)", 5),
        (("--where", WHERE, "--confirm-count", "7", "--cancel"), "(confirmation_needed)", 2),
    ):
        assert code in cli("erase", "--yes", *options, status=status).output, options
    assert rows(database) == before
    assert "Erased" in cli("erase", "--where", WHERE, "--cancel", "--yes").output
    assert inline.runs.list() == []


def test_what_would_be_erased_can_be_exported(
    shop: Celery, cli: RunCli, inline: Inline, database: Database, keys: str
) -> None:
    for email in ("ada@example.com", "bob@example.com"):
        inline.send(inngest.Event(name="shop/refused", data={"email": email}))
    lines = [json.loads(line) for line in cli("export", "person", "--where", WHERE).stdout.splitlines()]
    assert [line["type"] for line in lines] == ["event"] * 3 + ["run", "attempt"]
    assert all("bob@" not in str(line) for line in lines)
    assert [line["data"]["email"] for line in lines if line.get("name") == "shop/refused"] == ["ada@example.com"]
    assert "looked at. The index is complete." in cli("subjects", "index").output
    by_index = cli("export", "person", "--subject", "email=ada@example.com").stdout
    assert {json.loads(line)["id"] for line in by_index.splitlines() if '"type": "event"' in line} == {
        line["id"] for line in lines if line["type"] == "event"
    }
    with database.autocommit() as connection:
        assert "ada@" not in str(connection.execute(schema.audit.select()).all())
    shop.conf.inngest_subjects = {}
    anew(shop)
    assert "(subjects_not_set)" in cli("subjects", "index", status=2).output


def test_a_receipt_needs_a_key_before_anything_is_erased(shop: Celery, cli: RunCli, inline: Inline) -> None:
    inline.send(inngest.Event(name="shop/refused", data={"email": "ada@example.com"}))
    assert "(subject_key_missing)" in cli("erase", "--where", WHERE, "--yes", status=2).output
    shop.conf.inngest_subject_key = "a key for the tests"
    anew(shop)
    file = "nowhere/r.json"
    assert "(receipt_key_missing)" in cli("erase", "--where", WHERE, "--yes", "--receipt", file, status=2).output
    assert len(inline.runs.list()) == 1
    assert "inngest_receipt_key: inngest-receipt-" in cli("receipt", "key").output


APP = """
from celery import Celery
import inngest_celery as inngest

app = Celery("proj", broker="memory://")
app.conf.inngest_database_url = {url!r}
app.conf.inngest_subject_key = "a key for the tests"
client = inngest.Inngest(app_id="proj", celery=app)

@client.create_function(fn_id="ok", trigger=inngest.TriggerEvent(event="go"))
def ok(ctx: inngest.ContextSync) -> object:
    return ctx.event.data
"""


@pytest.mark.databases("sqlite", "postgres")
def test_an_erasure_that_is_killed_anywhere_is_finished(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "proj.py").write_text(APP.format(url=database_url))
    namespace: dict[str, object] = {}
    exec((tmp_path / "proj.py").read_text(), namespace)  # noqa: S102
    inline = Inline(namespace["app"], database_url=database_url)  # type: ignore[arg-type]
    for number in range(60):
        inline.send(inngest.Event(name="go", data={"email": "ada@example.com" if number else "bob@example.com"}))
    orders = tmp_path / "orders"
    orders.mkdir()
    call = [sys.executable, "-c", "from inngest_celery.cli import main; main()", "-A", "proj", "erase", "--yes"]
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "INNGEST_TEST_CRASH": str(orders)}

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [*call, "--where", WHERE, *options]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    for place in (
        "erasure_planning",
        "erasure_before_commit",
        "erasure_run_after_commit",
        "erasure_event_after_commit",
    ):
        (orders / place).touch()
        assert run().returncode == -signal.SIGKILL, place
    done = run("--json")
    assert done.returncode == 0, done.stderr
    assert "goes on" in done.stderr
    told = json.loads(done.stdout)
    assert (told["rows"]["inngest_run"], told["rows"]["inngest_event"]) == (59, 118)
    [left] = inline.runs.list()
    assert left.output == {"email": "bob@example.com"}
    database = runtime_of(namespace["app"]).database  # type: ignore[arg-type]
    assert rows(database)["inngest_erasure_item"] == 0
    assert rows(database)["inngest_event"] == 2
