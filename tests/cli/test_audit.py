"""``audit verify``, ``head``, ``export`` and ``seal``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from celery import Celery

from inngest_celery.store import schema
from inngest_celery.store.database import Database
from inngest_celery.testing.inline import Inline
from inngest_celery.worker.runtime import runtime_of
from tests.cli.conftest import RunCli

pytestmark = pytest.mark.databases("sqlite")

KEY = "a key of the audit log"


@pytest.fixture(params=["", KEY], ids=["no key", "key"])
def key(request: pytest.FixtureRequest, shop: Celery) -> str:
    value: str = request.param
    shop.conf.inngest_audit_key = value
    return value


def test_a_log_is_verified_in_the_database_and_from_a_file(
    cli: RunCli, key: str, database: Database, tmp_path: Path
) -> None:
    assert "whole" in cli("audit", "verify").output
    for name in ("ci", "grafana"):
        cli("tokens", "create", name, "--scope", "read")
    head = cli("audit", "head").output.strip()
    assert json.loads(cli("audit", "head", "--json").output) == {"seq": 4, "hash": head}
    cli("tokens", "create", "later", "--scope", "read")
    assert "3 entries and 3 outcomes" in cli("audit", "verify", "--head", head).output
    told = json.loads(cli("audit", "verify", "--json").output)
    assert (told["intact"], told["entries"], told["keyed"], told["problem"]) == (True, 3, 6 if key else 0, None)

    exported = tmp_path / "audit.jsonl"
    exported.write_text(cli("audit", "export").output)
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5, 6]
    with_key = ("--key", key) if key else ()
    assert "whole" in cli("audit", "verify", "--file", str(exported), "--head", head, *with_key).output
    exported.write_text(exported.read_text().replace("grafana", "granola"))
    refused = cli("audit", "verify", "--file", str(exported), *with_key, status=1).output
    assert "NOT what was written: link 3" in refused
    assert lines[2]["id"] in refused
    assert "row_changed" in refused
    exported.write_text("{}\n")
    assert "audit_export_invalid" in cli("audit", "verify", "--file", str(exported), status=2).output

    with database.transaction() as connection:
        connection.execute(sa.delete(schema.audit).where(schema.audit.c.id == lines[2]["id"]))
    problem = json.loads(cli("audit", "verify", "--json", status=1).output)["problem"]
    assert (problem["code"], problem["seq"], problem["id"]) == ("row_missing", 3, lines[2]["id"])


def test_what_an_older_release_wrote_is_sealed_and_that_stands_in_the_log(cli: RunCli, database: Database) -> None:
    cli("tokens", "create", "ci", "--scope", "read")
    with database.transaction() as connection:
        [row] = connection.execute(sa.select(schema.audit))
        connection.execute(sa.insert(schema.audit).values({**row._mapping, "id": "0" * 26}))
    assert "audit seal" in cli("audit", "verify", status=1).output
    assert "1 rows" in cli("audit", "seal").output
    assert "1 of them were there before" in cli("audit", "verify").output
    [entry] = json.loads(cli("audit", "list", "--action", "audit.seal", "--json").output)
    assert entry["outcome_details"] == {"found": 1}


def test_without_the_key_nothing_is_done_that_belongs_into_the_log(
    cli: RunCli, shop: Celery, database: Database
) -> None:
    shop.conf.inngest_audit_key = KEY
    runtime_of(shop).renew()
    cli("tokens", "create", "ci", "--scope", "read")
    shop.conf.inngest_audit_key = ""
    runtime_of(shop).renew()
    assert "audit_key_missing" in cli("tokens", "create", "other", "--scope", "read", status=2).output
    assert "other" not in cli("tokens", "list").output


def test_what_is_sent_and_called_by_hand_stands_in_the_log(cli: RunCli, database: Database, inline: Inline) -> None:
    event_id = cli("send", "shop/refused", "--data", '{"secret": "payload"}').output.strip()
    cli("events", "replay", event_id)
    inline.drain()
    cli("invoke", "shop-refuse", "--data", '{"secret": "payload"}')
    printed = cli("audit", "list", "--json").output
    assert [(each["action"], each["subject"], each["outcome"]) for each in reversed(json.loads(printed))] == [
        ("event.send", "shop/refused", "done"),
        ("event.replay", event_id, "done"),
        ("function.invoke", "shop-refuse", "done"),
    ]
    assert "payload" not in printed
